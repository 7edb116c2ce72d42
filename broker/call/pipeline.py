"""THE path every call takes, whichever listener it came through.

Knows: the order of the steps, and that no step is skipped. Must not know: wire formats, engines, stores.
The numbers are those of ARCHITECTURE.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from broker.call.admission import Admission, refusal_of
from broker.call.audited_call import AuditedCall, AuditPorts
from broker.call.authorization import CallAuthorizer
from broker.call.dispatch import UNAUTHORIZED, UpstreamDispatcher
from broker.call.inbound import InboundCall
from broker.call.limits import CallLimits
from broker.call.listing import Listing
from broker.call.naming import Commit
from broker.call.ownership import Ownership
from broker.call.phases import Admitted, Authenticated, Decoded
from broker.call.pricing import CallPricing
from broker.call.records import inspected
from broker.call.stages import Stages
from broker.call.stream_supervisor import StreamSupervisor
from broker.call.streaming import stream
from broker.call.unsettled import Backlog
from broker.catalog.estimate import deprecation_headers
from broker.catalog.models import find
from broker.identity.authentication import Authentication
from broker.identity.scope import covers
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.operation import Operation
from broker.model.units import NS_PER_SECOND
from broker.ports import CallLedger, Clock, KeyPool, ObjectOwners, Upstream
from broker.shaping.binding import bind
from broker.shaping.key_refusal import key_refused
from broker.shaping.limit_headers import Headers, limit_headers
from broker.shaping.policy_header import policy_header


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as the pipeline sees it."""

    keys: KeyPool
    upstream: Upstream
    ledger: CallLedger
    owners: ObjectOwners
    clock: Clock


class Pipeline:
    """One instance serves all calls of a process; between them it keeps only what is not settled yet."""

    def __init__(
        self,
        ports: Ports,
        authentication: Authentication,
        stages: Stages,
        call_authorizer: CallAuthorizer,
        commit: Commit,
        supervisor: StreamSupervisor,
        limits: CallLimits,
    ) -> None:
        self._ports = ports
        self._authentication = authentication
        self._stages = stages
        self._call_authorizer = call_authorizer
        self._commit = commit
        self._supervisor = supervisor
        self._audit = AuditPorts(ports.ledger, ports.clock, Backlog())
        self._dispatcher = UpstreamDispatcher(ports.keys, ports.upstream, ports.clock)
        self._ownership = Ownership(ports.owners)
        self._pricing = CallPricing(stages, self._ownership, limits, ports.clock)
        self._listing = Listing(self._dispatcher, self._ownership)

    async def run(self, inbound: InboundCall) -> Reply | StreamReply:
        """Takes one call from the listener to its reply. Raises BrokerError, by then recorded where the
        caller was authenticated: a `denied` where nothing was sent, an `outcome` where something was.
        """
        clock, context = self._ports.clock, inbound.context
        started = clock.monotonic_ns()
        caller = self._authentication.authenticate(  # 2 authenticate
            context.peer, inbound.bearer, clock.now_ns() // NS_PER_SECOND
        )
        authenticated = Authenticated(
            context.call_id, context.transport, inbound.operation, caller, started, self._commit
        )
        admission, held = Admission(self._audit, authenticated), self._supervisor.held()
        try:
            with held:
                admitted = await self._admit(admission, authenticated, inbound)  # 1, 3 – 5
        except BaseException as error:
            await asyncio.shield(admission.deny(refusal_of(error)))
            raise
        fitted = self._pricing.fitted
        audited, request = await admission.open(admitted, fitted)  # 6 reserve, 7 record the intent
        inbound.admitted()
        try:
            with held:
                await audited.warn()
                return await self._perform(audited, request)  # 8 – 12
        except BaseException as error:
            await asyncio.shield(audited.close(error=refusal_of(error).kind))
            raise

    async def _admit(
        self, admission: Admission, authenticated: Authenticated, inbound: InboundCall
    ) -> Admitted:
        """Steps 1 and 3 to 5: everything that can say no before anything is to be spent."""
        stages, caller = self._stages, authenticated.caller
        call = await inbound.decode(stages.lane(caller))  # 1 decode
        admission.reached(Decoded(authenticated, call))
        findings = await stages.inspect(call, caller)  # 3 inspect
        seen = admission.reached(inspected(authenticated, call, findings))
        mentions = await stages.mentions(call, caller)
        bound = bind(call, caller, covers)
        estimate = await stages.estimate(call, caller, self._pricing.today)  # 4 estimate
        decided = await self._call_authorizer.decide(admission, seen, mentions, estimate)  # 5 decide
        objects, left_out = await self._ownership.admit(decided)
        return await self._pricing.priced(decided, estimate, objects, bound, left_out)

    async def _perform(self, audited: AuditedCall, request: UpstreamRequest) -> Reply | StreamReply:
        """Steps 8 to 12: the call itself."""
        call = audited.call
        answer = await self._dispatcher.dispatch(audited, request)  # 8 lease, 9 send
        if call.operation is Operation.CHAT_LIST:
            answer = await self._listing.own(audited, request, answer)
        if answer.status == UNAUTHORIZED:
            raise key_refused()
        if isinstance(answer, StreamReply):
            return self._stream(answer, audited)
        reply = await self._stages.replies.filter(answer, call)  # 10 filter
        if call.objects.may_make:
            await self._ownership.learn(call, await self._stages.replies.document(reply, call.caller))
        await self._ownership.deleted(call, reply.status)
        size = len(reply.body)
        call.reply.passed(size)
        digest = await self._stages.lane(call.caller).once(size, lambda: sha256(reply.body).digest())
        await audited.close(digest=digest)  # 11 record, 12 settle
        return Reply(reply.status, (*reply.headers, *_ours(audited)), reply.body)

    def _stream(self, answer: StreamReply, audited: AuditedCall) -> StreamReply:
        """Steps 10 to 12 happen while the events are taken: see `streaming`."""
        call, replies = audited.call, self._stages.replies
        answer = replies.judge_headers(answer, call)
        ours = (*deprecation_headers(find(call.model)), *_ours(audited))
        now_ns, recheck = self._ports.clock.now_ns, self._authentication.rechecking(call.caller)
        handle = self._supervisor.handle(
            lambda: recheck(now_ns() // NS_PER_SECOND), lambda: self._call_authorizer.again(call)
        )
        learn, places = partial(self._ownership.learn, call), replies.places(call.decision)
        events = stream(answer, places, audited, handle, learn)
        return StreamReply(answer.status, (*answer.headers, *ours), events)


def _ours(audited: AuditedCall) -> Headers:
    """What we tell of the call beside upstream's headers."""
    return (policy_header(audited.call.decision.policy), *limit_headers(audited.left))
