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

from broker.arrival import InboundCall
from broker.callrecords import denied
from broker.catalog.estimate import deprecation_headers
from broker.catalog.models import find
from broker.catalog.reserve import Reserve, reserve, with_unseen
from broker.deciding import Deciding
from broker.dispatching import UNAUTHORIZED, Dispatching
from broker.errors import BrokerError, Kind
from broker.identity.authentication import Authentication
from broker.identity.scope import covers
from broker.listing import Listing
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.charge import Charge, Reservation, Unit
from broker.model.decision import CallDecision
from broker.model.operation import Operation
from broker.model.units import NS_PER_DAY, NS_PER_SECOND
from broker.ownership import Ownership
from broker.passage import Commit, Passage
from broker.ports import Clock, Counters, KeyPool, Ledger, ObjectOwners, Upstream
from broker.settlement import Settlement
from broker.shaping.binding import bind
from broker.shaping.key_refusal import key_refused
from broker.shaping.request import shaped
from broker.stages import Stages
from broker.streaming import stream
from broker.unsettled import Backlog
from broker.vigil import Vigil

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
        deciding: Deciding,
        commit: Commit,
        vigil: Vigil,
    ) -> None:
        self._ports = ports
        self._authentication = authentication
        self._stages = stages
        self._deciding = deciding
        self._commit = commit
        self._vigil = vigil
        self._backlog = Backlog()
        self._dispatching = Dispatching(ports.keys, ports.upstream, ports.clock)
        self._ownership = Ownership(ports.owners)
        self._listing = Listing(self._dispatching, self._ownership)

    async def run(self, inbound: InboundCall) -> Reply | StreamReply:
        """Takes one call from the door to its reply. Raises BrokerError, by then recorded where the
        caller was authenticated: a `denied` where nothing was sent, an `outcome` where something was.
        """
        clock = self._ports.clock
        started = clock.monotonic_ns()
        caller = self._authentication.authenticate(  # 2 authenticate
            inbound.context.peer, inbound.bearer, clock.now_ns() // NS_PER_SECOND
        )
        passage, held = Passage(inbound, caller, self._commit, started), self._vigil.held()
        try:
            with held:
                request, reservation = await self._admit(passage, inbound)  # 1, 3 – 6
        except BaseException as error:
            record = denied(passage, _refusal(error), clock.monotonic_ns())
            await asyncio.shield(self._ports.ledger.append(record))
            raise
        settlement = Settlement(
            self._ports.ledger, self._ports.counters, clock, passage, reservation, self._backlog
        )
        await settlement.open()  # 7 record the intent
        try:
            with held:
                return await self._perform(passage, request, settlement)  # 8 – 12
        except BaseException as error:
            await asyncio.shield(settlement.close(error=_refusal(error).kind))
            raise

    async def _admit(self, passage: Passage, inbound: InboundCall) -> tuple[UpstreamRequest, Reservation]:
        """Steps 1 and 3 to 6: everything that can say no before anything is spent."""
        call = passage.call = await inbound.decode(self._stages.lane(passage.caller))  # 1 decode
        passage.inspected(await self._stages.inspect(call, passage.caller))  # 3 inspect
        passage.mentions = await self._stages.mentions(call, passage.caller)
        bound = bind(call, passage.caller, covers)
        today = date.fromordinal(_EPOCH + self._ports.clock.now_ns() // NS_PER_DAY)
        estimate = await self._stages.estimate(call, passage.caller, today)  # 4 estimate
        decision = await self._deciding.decide(passage, call, estimate)  # 5 decide
        left_out = await self._ownership.admit(passage)
        regional = decision.placement.region is not None
        if decision.shape.reprices or regional:
            altered = shaped(call, decision.shape)
            estimate = await self._stages.estimate(altered, passage.caller, today, regional=regional)
        if passage.mentions.references:
            estimate = await self._ownership.going_on(passage, estimate)
        passage.meter.estimate = estimate
        request = await self._stages.request(passage, decision, bound, left_out)
        passage.meter.usage_added = request.usage_added
        charges = _charges(decision, reserve(estimate, decision.unseen_tokens, regional=regional))
        try:
            return request, await self._ports.counters.reserve(charges)  # 6 reserve
        except BrokerError as error:
            raise with_unseen(error, estimate) from None

    async def _perform(
        self, passage: Passage, request: UpstreamRequest, settlement: Settlement
    ) -> Reply | StreamReply:
        """Steps 8 to 12: the call itself."""
        answer = await self._dispatching.dispatch(passage, request)  # 8 lease, 9 send
        settlement.answered(answer)
        if passage.operation is Operation.CHAT_LIST:
            answer = await self._listing.own(passage, request, answer)
        if answer.status == UNAUTHORIZED:
            raise key_refused()
        if isinstance(answer, StreamReply):
            return self._stream(answer, passage, settlement)
        reply = await self._stages.replies.filter(answer, passage)  # 10 filter
        if passage.may_make:
            await self._ownership.learn(passage, await self._stages.replies.document(reply, passage.caller))
        await self._ownership.deleted(passage, reply.status)
        passage.reply_bytes = len(reply.body)
        lane, size = self._stages.lane(passage.caller), len(reply.body)
        digest = await lane.once(size, lambda: sha256(reply.body).digest())
        await settlement.close(digest=digest)  # 11 record, 12 settle
        return reply

    def _stream(self, answer: StreamReply, passage: Passage, settlement: Settlement) -> StreamReply:
        """Steps 10 to 12 happen while the events are taken: see `streaming`."""
        answer = self._stages.replies.judge_headers(answer, passage)
        passage.forget_body()
        places = self._stages.replies.places(passage.decided)
        headers = (*answer.headers, *deprecation_headers(find(passage.accepted.model)))
        now_ns, recheck = self._ports.clock.now_ns, self._authentication.rechecking(passage.caller)
        leash = self._vigil.leash(
            lambda: recheck(now_ns() // NS_PER_SECOND), lambda: self._deciding.again(passage)
        )
        learn = partial(self._ownership.learn, passage)
        return StreamReply(answer.status, headers, stream(answer, passage, places, settlement, leash, learn))


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
