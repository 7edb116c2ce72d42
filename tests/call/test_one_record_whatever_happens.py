"""Whatever happens to a call on the whole path, and whenever: one `denied`, or one intent and one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.charge import Unit
from broker.model.operation import Operation
from broker.model.record import RecordType
from tests.money.fakes import Till, chunk, event, interrupted, reply, streamed, used

DENIED, INTENT, OUTCOME = RecordType.DENIED, RecordType.INTENT, RecordType.OUTCOME
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
ANSWERS: dict[str, Callable[[], Reply | StreamReply | Exception]] = {
    "reply": lambda: reply({"model": "gpt-4o", "usage": used(2, 3)}),
    "no JSON": lambda: Reply(200, (), b"{"),
    "refused": lambda: reply({"error": {"message": "no"}}, 400),
    "turned down": lambda: reply({"error": {"message": "later"}}, 429),
    "another's key": lambda: reply({"error": {"code": "invalid_api_key", "message": "no"}}, 401),
    "stream": lambda: streamed([event(chunk("a")), event(chunk("b", finish="stop")), event("[DONE]")]),
    "broken stream": lambda: streamed([event(chunk("a")), interrupted()]),
    "silent stream": lambda: streamed([event(chunk("a")), asyncio.Event()]),
    "unsent": lambda: BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no connection", unsent=True),
    "unanswered": lambda: BrokerError(Kind.UPSTREAM_UNAVAILABLE, "silence"),
    "defect": lambda: RuntimeError("ours"),
}


@dataclass(frozen=True)
class Happening:
    """What upstream answers, in turn; after how many steps of the event loop the caller leaves, and after
    how many events; what the limits allow.
    """

    answers: list[str]
    leaves_at: int | None
    leave_after: int | None
    cap: int


HAPPENINGS = st.builds(
    Happening,
    st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=3),
    st.none() | st.integers(0, 40),
    st.none() | st.integers(0, 3),
    st.sampled_from([0, 10**12]),
)


@given(HAPPENINGS)
async def test_a_call_is_recorded_once_whatever_happens(happening: Happening) -> None:
    left = list(happening.answers)

    async def script(request: UpstreamRequest) -> Reply | StreamReply:
        await asyncio.sleep(0)
        answer = ANSWERS[left.pop(0) if len(left) > 1 else left[0]]()
        if isinstance(answer, Exception):
            raise answer
        return answer

    till = Till(script)
    till.allowing.cap = happening.cap
    streams = any("stream" in each for each in happening.answers)
    call = asyncio.create_task(
        till.run(Operation.CHAT, {**CHAT, "stream": streams}, leave_after=happening.leave_after)
    )
    for _ in range(happening.leaves_at if happening.leaves_at is not None else 60):
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError, RuntimeError):
        await call
    for _ in range(10):
        await asyncio.sleep(0)
    written = [record.type for record in till.ledger.records]
    never_began = happening.leaves_at == 0
    assert written in ([DENIED], [INTENT, OUTCOME]) or (never_began and written == [])
    assert (till.taken(Unit.REQUESTS) == 1) == (written == [INTENT, OUTCOME])
    assert not till.upstream.asked or written[0] is INTENT


@pytest.mark.parametrize("leaves_at", range(16))
async def test_who_leaves_keeps_nobody_from_being_warned(leaves_at: int) -> None:
    """A caller that leaves with the call which uses a budget up: one warning, at whatever step."""
    till = Till(lambda _request: asyncio.sleep(0, reply({"model": "gpt-4o", "usage": used(2, 3)})))
    till.allowing.cap = 260
    call = asyncio.create_task(till.run(Operation.CHAT, CHAT))
    for _ in range(leaves_at):
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    for _ in range(10):
        await asyncio.sleep(0)
    written = [record.type for record in till.ledger.records]
    assert written.count(RecordType.LIMIT) == written.count(INTENT) == written.count(OUTCOME)
