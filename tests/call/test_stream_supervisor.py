"""Open streams are judged again, and cut also while they wait for an upstream that says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable

import pytest

from broker.call.stream_supervisor import StreamHandle, StreamSupervisor
from broker.errors import BrokerError, Kind
from broker.model.call import EventBatch
from tests.call.fakes import HandClock

REVOKED = BrokerError(Kind.TOKEN_REVOKED, "The bearer token has been revoked.")
DENIED = BrokerError(Kind.POLICY_DENIED, "Policy denies this call.")


class Supervised:
    """A supervisor over one stream whose judgements a test sets."""

    def __init__(self) -> None:
        self.now: Hashable = "first"
        self.revoked = False
        self.denied: BrokerError | None = None
        self.asked = 0
        self.supervisor = StreamSupervisor(HandClock(), lambda: self.now)
        self.handle: StreamHandle = self.supervisor.handle(self._recheck, self._redecide)

    def _recheck(self) -> None:
        if self.revoked:
            raise REVOKED

    async def _redecide(self) -> None:
        self.asked += 1
        if self.denied is not None:
            raise self.denied


@pytest.fixture
def watch() -> Supervised:
    return Supervised()


async def _silent() -> AsyncIterator[EventBatch]:
    await asyncio.Event().wait()
    yield [b"never"]


async def _talking(*events: bytes) -> AsyncIterator[EventBatch]:
    for event in events:
        yield [event]


async def test_events_pass_until_the_last(watch: Supervised) -> None:
    events = _talking(b"a", b"b")
    assert [await watch.handle.next(events) for _ in range(3)] == [[b"a"], [b"b"], None]


async def test_a_silent_stream_of_a_revoked_token_is_cut(watch: Supervised) -> None:
    waiting = asyncio.create_task(watch.handle.next(_silent()))
    await asyncio.sleep(0)
    watch.revoked = True
    await watch.supervisor.tick()
    with pytest.raises(BrokerError, match="revoked"):
        await asyncio.wait_for(waiting, 1)


async def test_a_silent_stream_that_a_new_policy_denies_is_cut(watch: Supervised) -> None:
    waiting = asyncio.create_task(watch.handle.next(_silent()))
    await asyncio.sleep(0)
    watch.now, watch.denied = "second", DENIED
    await watch.supervisor.tick()
    with pytest.raises(BrokerError, match="denies"):
        await asyncio.wait_for(waiting, 1)


async def test_policy_is_asked_again_only_when_it_could_answer_differently(watch: Supervised) -> None:
    await watch.supervisor.tick()
    assert watch.asked == 0
    watch.now = "second"
    await watch.supervisor.tick()
    await watch.supervisor.tick()
    assert watch.asked == 1


async def test_an_engine_that_cannot_answer_cuts_the_stream(watch: Supervised) -> None:
    watch.now = "second"
    watch.denied = BrokerError(Kind.POLICY_ENGINE_UNAVAILABLE, "The policy engine is away.")
    await watch.supervisor.tick()
    with pytest.raises(BrokerError, match="away"):
        await watch.handle.next(_talking(b"a"))


async def test_a_released_stream_is_not_asked_about(watch: Supervised) -> None:
    watch.handle.release()
    watch.handle.release()
    watch.now = "second"
    await watch.supervisor.tick()
    assert watch.asked == 0


async def test_a_timeout_of_the_upstream_stays_its_own(watch: Supervised) -> None:
    async def broken() -> AsyncIterator[EventBatch]:
        raise TimeoutError("upstream")
        yield []

    with pytest.raises(TimeoutError, match="upstream"):
        await watch.handle.next(broken())


async def test_events_that_come_at_the_moment_of_the_cut_do_not_pass(watch: Supervised) -> None:
    came = asyncio.get_running_loop().create_future()

    async def waiting_for_it() -> AsyncIterator[EventBatch]:
        await came
        yield [b"too late"]

    waiting = asyncio.create_task(watch.handle.next(waiting_for_it()))
    await asyncio.sleep(0)
    came.set_result(None)
    watch.handle.cut(REVOKED)
    with pytest.raises(BrokerError, match="revoked"):
        await asyncio.wait_for(waiting, 1)


async def test_a_stream_that_only_lets_others_have_the_loop_is_cut(watch: Supervised) -> None:
    async def restless() -> AsyncIterator[EventBatch]:
        for _ in range(100_000):
            await asyncio.sleep(0)
        yield []

    waiting = asyncio.create_task(watch.handle.next(restless()))
    await asyncio.sleep(0)
    watch.handle.cut(REVOKED)
    with pytest.raises(BrokerError, match="revoked"):
        await asyncio.wait_for(waiting, 1)


async def test_what_waits_for_a_stream_is_ended_with_it(watch: Supervised) -> None:
    ended: list[bool] = []

    async def tidy() -> AsyncIterator[EventBatch]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        yield []

    waiting = asyncio.create_task(watch.handle.next(tidy()))
    await asyncio.sleep(0)
    watch.handle.cut(REVOKED)
    with pytest.raises(BrokerError, match="revoked"):
        await asyncio.wait_for(waiting, 1)
    assert ended == [True]


async def test_a_cancelled_caller_stays_cancelled_though_its_stream_is_cut(watch: Supervised) -> None:
    waiting = asyncio.create_task(watch.handle.next(_silent()))
    await asyncio.sleep(0)
    watch.handle.cut(REVOKED)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_cancelled_caller_stays_cancelled(watch: Supervised) -> None:
    waiting = asyncio.create_task(watch.handle.next(_silent()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
