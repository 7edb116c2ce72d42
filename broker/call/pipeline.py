"""THE path every call takes, whichever listener it came through.

Knows: the order of the steps, and that no step is skipped. Must not know: wire formats, engines, stores.
The numbers are those of ARCHITECTURE.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256

from broker.call.audited_call import AuditedCall
from broker.call.authorization import CallAuthorizer
from broker.call.context import CallContext, Commit
from broker.call.dispatch import UNAUTHORIZED, UpstreamDispatcher
from broker.call.inbound import InboundCall
from broker.call.listing import Listing
from broker.call.ownership import Ownership
from broker.call.records import denied
from broker.call.stages import Stages
from broker.call.stream_supervisor import StreamSupervisor
from broker.call.streaming import stream
from broker.call.unsettled import Backlog
from broker.catalog.estimate import deprecation_headers
from broker.catalog.models import find
from broker.catalog.reserve import Reserve, reserve, with_unseen
from broker.errors import BrokerError, Kind
from broker.identity.authentication import Authentication
from broker.identity.scope import covers
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.charge import Charge, Reservation, Unit
from broker.model.decision import CallDecision
from broker.model.operation import Operation
from broker.model.units import NS_PER_DAY, NS_PER_SECOND
from broker.ports import Clock, Counters, KeyPool, Ledger, ObjectOwners, Upstream
from broker.shaping.binding import bind
from broker.shaping.key_refusal import key_refused
from broker.shaping.request import shaped

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as the pipeline sees it."""

    keys: KeyPool
    upstream: Upstream
    ledger: Ledger
    counters: Counters
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
    ) -> None:
        self._ports = ports
        self._authentication = authentication
        self._stages = stages
        self._call_authorizer = call_authorizer
        self._commit = commit
        self._supervisor = supervisor
        self._backlog = Backlog()
        self._dispatcher = UpstreamDispatcher(ports.keys, ports.upstream, ports.clock)
        self._ownership = Ownership(ports.owners)
        self._listing = Listing(self._dispatcher, self._ownership)

    async def run(self, inbound: InboundCall) -> Reply | StreamReply:
        """Takes one call from the listener to its reply. Raises BrokerError, by then recorded where the
        caller was authenticated: a `denied` where nothing was sent, an `outcome` where something was.
        """
        clock = self._ports.clock
        started = clock.monotonic_ns()
        caller = self._authentication.authenticate(  # 2 authenticate
            inbound.context.peer, inbound.bearer, clock.now_ns() // NS_PER_SECOND
        )
        context, held = CallContext(inbound, caller, self._commit, started), self._supervisor.held()
        try:
            with held:
                request, reservation = await self._admit(context, inbound)  # 1, 3 – 6
        except BaseException as error:
            record = denied(context, _refusal(error), clock.monotonic_ns())
            await asyncio.shield(self._ports.ledger.append(record))
            raise
        audited = AuditedCall(
            self._ports.ledger, self._ports.counters, clock, context, reservation, self._backlog
        )
        await audited.open()  # 7 record the intent
        try:
            with held:
                return await self._perform(context, request, audited)  # 8 – 12
        except BaseException as error:
            await asyncio.shield(audited.close(error=_refusal(error).kind))
            raise

    async def _admit(self, context: CallContext, inbound: InboundCall) -> tuple[UpstreamRequest, Reservation]:
        """Steps 1 and 3 to 6: everything that can say no before anything is spent."""
        call = context.call = await inbound.decode(self._stages.lane(context.caller))  # 1 decode
        context.inspected(await self._stages.inspect(call, context.caller))  # 3 inspect
        context.mentions = await self._stages.mentions(call, context.caller)
        bound = bind(call, context.caller, covers)
        today = date.fromordinal(_EPOCH + self._ports.clock.now_ns() // NS_PER_DAY)
        estimate = await self._stages.estimate(call, context.caller, today)  # 4 estimate
        decision = await self._call_authorizer.decide(context, call, estimate)  # 5 decide
        left_out = await self._ownership.admit(context)
        regional = decision.placement.region is not None
        if decision.shape.reprices or regional:
            altered = shaped(call, decision.shape)
            estimate = await self._stages.estimate(altered, context.caller, today, regional=regional)
        if context.mentions.references:
            estimate = await self._ownership.going_on(context, estimate)
        context.meter.estimate = estimate
        request = await self._stages.request(context, decision, bound, left_out)
        context.meter.usage_added = request.usage_added
        charges = _charges(decision, reserve(estimate, decision.unseen_tokens, regional=regional))
        try:
            return request, await self._ports.counters.reserve(charges)  # 6 reserve
        except BrokerError as error:
            raise with_unseen(error, estimate) from None

    async def _perform(
        self, context: CallContext, request: UpstreamRequest, audited: AuditedCall
    ) -> Reply | StreamReply:
        """Steps 8 to 12: the call itself."""
        answer = await self._dispatcher.dispatch(context, request)  # 8 lease, 9 send
        audited.answered(answer)
        if context.operation is Operation.CHAT_LIST:
            answer = await self._listing.own(context, request, answer)
        if answer.status == UNAUTHORIZED:
            raise key_refused()
        if isinstance(answer, StreamReply):
            return self._stream(answer, context, audited)
        reply = await self._stages.replies.filter(answer, context)  # 10 filter
        if context.may_make:
            await self._ownership.learn(context, await self._stages.replies.document(reply, context.caller))
        await self._ownership.deleted(context, reply.status)
        context.reply_bytes = len(reply.body)
        lane, size = self._stages.lane(context.caller), len(reply.body)
        digest = await lane.once(size, lambda: sha256(reply.body).digest())
        await audited.close(digest=digest)  # 11 record, 12 settle
        return reply

    def _stream(self, answer: StreamReply, context: CallContext, audited: AuditedCall) -> StreamReply:
        """Steps 10 to 12 happen while the events are taken: see `streaming`."""
        answer = self._stages.replies.judge_headers(answer, context)
        context.forget_body()
        places = self._stages.replies.places(context.decided)
        headers = (*answer.headers, *deprecation_headers(find(context.accepted.model)))
        now_ns, recheck = self._ports.clock.now_ns, self._authentication.rechecking(context.caller)
        handle = self._supervisor.handle(
            lambda: recheck(now_ns() // NS_PER_SECOND), lambda: self._call_authorizer.again(context)
        )
        learn = partial(self._ownership.learn, context)
        return StreamReply(answer.status, headers, stream(answer, context, places, audited, handle, learn))


def _refusal(error: BaseException) -> BrokerError:
    """What a record says of an error: a refusal as it is, a caller that left, or a defect of ours."""
    if isinstance(error, BrokerError):
        return error
    gone = isinstance(error, asyncio.CancelledError)  # the caller left, or its deadline passed
    return BrokerError(Kind.CALLER_GONE if gone else Kind.INTERNAL, "The call was not carried through.")


def _charges(decision: CallDecision, worst: Reserve) -> Sequence[Charge]:
    """Every limit of the decision, charged with the worst case of this call."""
    amounts = {Unit.REQUESTS: 1, Unit.TOKENS: worst.tokens, Unit.MICRO_USD: worst.micro_usd}
    return [
        Charge(limit.key, limit.unit, amounts[limit.unit], limit.cap, limit.window_seconds)
        for limit in decision.limits
    ]
