"""Large inputs have one thread, in turns; nobody's work holds up another's, or the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise

import pytest

from broker.lanes import LARGE_BYTES, TURN_SECONDS, Breath, Lane, Lanes, Steps, at_once, finished


def long(steps: int, log: list[str], name: str) -> Steps[str]:
    for _ in range(steps):
        log.append(name)
        time.sleep(TURN_SECONDS / 2)
        yield
    return name


async def test_one_subject_cannot_occupy_the_lane_of_another() -> None:
    """Issue 12, A.2: bodies of all callers queued behind one lock."""
    lanes, log = Lanes(), list[str]()
    flood = [asyncio.create_task(lanes.run("greedy", long(40, log, "greedy"))) for _ in range(50)]
    await asyncio.sleep(TURN_SECONDS)
    assert await lanes.run("victim", long(4, log, "victim")) == "victim"
    assert log.count("greedy") < 30, "the victim waited for more than a few turns of the other"
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_a_caller_who_has_left_occupies_nothing() -> None:
    lanes, log = Lanes(), list[str]()
    leaving = asyncio.create_task(lanes.run("one", long(10_000, log, "gone")))
    await asyncio.sleep(3 * TURN_SECONDS)
    leaving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaving
    assert await lanes.run("one", long(1, log, "next")) == "next"
    done = log.count("gone")
    assert done < 1_000
    await asyncio.sleep(2 * TURN_SECONDS)
    assert log.count("gone") == done


async def test_a_subjects_own_work_is_done_in_its_order() -> None:
    lanes, log = Lanes(), list[str]()
    names = ["a", "b", "c"]
    assert await asyncio.gather(*(lanes.run("one", long(5, log, name)) for name in names)) == names
    assert log == sorted(log)


async def test_what_the_work_raises_reaches_who_waits_for_it_and_nobody_else() -> None:
    lanes = Lanes()

    def broken() -> str:
        raise LookupError

    bad, good = await asyncio.gather(
        lanes.run("one", at_once(broken)), lanes.run("one", at_once(lambda: "fine")), return_exceptions=True
    )
    assert isinstance(bad, LookupError)
    assert good == "fine"


async def test_small_work_is_done_here_and_large_work_is_not() -> None:
    lane = Lane(Lanes(), "one")
    here = asyncio.create_task(lane.run(LARGE_BYTES, at_once(lambda: "small")))
    await asyncio.sleep(0)
    assert here.done()
    there = asyncio.create_task(lane.run(LARGE_BYTES + 1, at_once(lambda: "large")))
    await asyncio.sleep(0)
    assert not there.done()
    assert await there == "large"


def test_all_steps_can_be_taken_at_once() -> None:
    assert finished(long(2, [], "x")) == "x"


@pytest.mark.parametrize("pieces", [20_000])
async def test_a_stream_of_many_fast_events_keeps_nobody_waiting(pieces: int) -> None:
    """Issue 12, B.23: 20,000 events took 1.1 CPU-seconds in which nobody else was served."""
    ticks = [time.thread_time()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            ticks.append(time.thread_time())

    others = asyncio.create_task(tick())
    breath = Breath()
    for _ in range(pieces):
        sum(range(1_000))  # an event's work
        await breath.taken()
    others.cancel()
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 0.02
    assert len(ticks) > 20


async def test_work_that_waits_by_itself_is_not_slowed_down() -> None:
    breath = Breath()
    for _ in range(5):
        await asyncio.sleep(0.003)
        breath.rested()
        pausing = breath.taken()
        with pytest.raises(StopIteration):
            pausing.send(None)  # it did not suspend
