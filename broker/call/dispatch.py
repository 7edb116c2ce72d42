"""Steps 8 and 9: a key is leased, the call is sent; where upstream turns the key down, another's turn comes.

Knows: what an answer says about the key it was asked with. Must not know: where keys are kept, how one is
chosen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from broker.call.audited_call import AuditedCall
from broker.call.phases import Answered, Authorized, Sent
from broker.errors import BrokerError
from broker.model.call import EventBatch, Reply, StreamReply, UpstreamRequest
from broker.model.pool import SpentMoney
from broker.model.secret import Lease
from broker.model.units import NS_PER_US
from broker.ports import Clock, KeyPool, Upstream
from broker.shaping.key_refusal import refusal_code, spent_money
from broker.shaping.retry_after import wait_of

UNAUTHORIZED = 401
_TOO_MANY_REQUESTS = 429
_ERRORS = 400
_ABOUT_THE_KEY = frozenset({UNAUTHORIZED, _TOO_MANY_REQUESTS})
_OTHER_KEYS = 2
"""How many further keys one call may try: with each one that is turned down, fewer are left for others."""


class UpstreamDispatcher:
    """One instance serves all calls of a process."""

    def __init__(self, keys: KeyPool, upstream: Upstream, clock: Clock) -> None:
        self._keys = keys
        self._upstream = upstream
        self._clock = clock

    async def dispatch(self, audited: AuditedCall, request: UpstreamRequest) -> Reply | StreamReply:
        """Upstream's answer, whatever it is; `audited` is told. Raises what KeyPool and Upstream raise. What
        a 401 says never goes to the caller: that is for the pipeline to see to.
        """
        lease = await self._lease(audited.call)
        begun = self._clock.monotonic_ns()
        answer = await self._send(request, lease, audited)
        if answer.status in _ABOUT_THE_KEY:
            answer = await self._elsewhere(answer, lease, audited, request)
        audited.answered(_answered(answer, (self._clock.monotonic_ns() - begun) // NS_PER_US))
        return answer

    async def _lease(self, call: Authorized) -> Lease:
        return await self._keys.lease(call.decision.credential, call.decision.placement, call.model_sent)

    async def _elsewhere(
        self, answer: Reply | StreamReply, lease: Lease, audited: AuditedCall, request: UpstreamRequest
    ) -> Reply | StreamReply:
        """The first answer that is about the call and not about a key, or the last one that there is. The
        answers before it were whole and refused the call: nothing was spent, nothing has reached the caller.
        """
        spent: set[str | None] = set()
        for _ in range(_OTHER_KEYS):
            if not self._is_about_the_key(answer, lease, audited.call) or lease.is_only_key:
                return answer
            if _spent_money(answer) is not None:
                spent.add(lease.member)
            try:
                lease = await self._lease(audited.call)
            except BrokerError:  # the others were turned down, too, in the meantime: this answer stands
                return answer
            if lease.member in spent:  # no other key has money: this one's answer stands
                return answer
            await _let_go(answer)
            answer = await self._send(request, lease, audited)
        self._is_about_the_key(answer, lease, audited.call)
        return answer

    async def _send(
        self, request: UpstreamRequest, lease: Lease, audited: AuditedCall
    ) -> Reply | StreamReply:
        """From here on upstream may be at work on the call, until it is known that it is not."""
        audited.sent(Sent(lease))
        try:
            answer = await self._upstream.send(request, lease, audited.sends)
        except BrokerError as error:
            if error.unsent:
                audited.unsent()
            raise
        except asyncio.CancelledError:  # the caller left, perhaps while there was no connection yet
            if not audited.sends.begun:
                audited.unsent()
            raise
        if answer.status >= _ERRORS:
            audited.refused()
        return answer

    def _is_about_the_key(self, answer: Reply | StreamReply, lease: Lease, call: Authorized) -> bool:
        """Whether another key could be answered differently; the pool is then told of this one."""
        if answer.status == _TOO_MANY_REQUESTS:
            spent = _spent_money(answer)
            if spent is not None:
                self._keys.unfund(lease, spent)
            else:
                wait = wait_of(answer.headers, self._clock.now_ns())
                self._keys.cool_down(lease, call.model_sent, wait)
            return True
        code = refusal_code(answer) if answer.status == UNAUTHORIZED else None
        if code is not None:
            self._keys.quarantine(call.decision.credential, lease, code)
        return code is not None


def _spent_money(answer: Reply | StreamReply) -> SpentMoney | None:
    """What a 429 says of money, if it does."""
    if answer.status != _TOO_MANY_REQUESTS or not isinstance(answer, Reply):
        return None
    return spent_money(answer.body)


def _answered(answer: Reply | StreamReply, upstream_us: int) -> Answered:
    request_id = next((value for key, value in answer.headers if key == "x-request-id"), None)
    return Answered(answer.status, request_id, isinstance(answer, Reply), upstream_us)


async def _let_go(answer: Reply | StreamReply) -> None:
    """Nobody will take these events: their connection must not wait for anybody."""
    if isinstance(answer, StreamReply):
        await cast("AsyncGenerator[EventBatch, None]", answer.events).aclose()
