"""When requests are begun and refused: a noisy service cannot starve a quiet one, and a burst is none."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from broker.errors import Kind
from broker.listeners import overload
from broker.listeners.overload import MOST_PREPARING, Sender
from broker.listeners.surge import MOST_IN_OVERLOAD
from broker.model.record import RecordType
from tests.overload.requests import Asked, Shedding
from tests.sizes import sized


async def turn() -> None:
    """One turn of the event loop."""
    await asyncio.sleep(0)


def prepared(asked: Asked) -> None:
    """It waits for upstream: what is prepared is not what these tests are about."""
    if asked.begun is not None:
        asked.begun.admitted()


async def test_one_request_is_begun_in_each_turn_of_the_loop() -> None:
    scene = Shedding()
    asked = [scene.send("a") for _ in range(10)]
    for number in range(1, 11):
        assert [each.waits for each in asked] == [False] * number + [True] * (10 - number)
        await turn()
    assert scene.waits[0] == 0.0
    assert len(scene.waits) == 10


async def test_a_noisy_service_cannot_make_a_quiet_one_wait() -> None:
    """However many of the noisy one's wait, one call of the quiet one is begun in the turn after next."""
    scene = Shedding()
    for _ in range(1000):
        scene.send("noisy", brief=True)
    for _ in range(100):
        quiet = scene.send("quiet", brief=True)
        await turn()
        await turn()
        assert quiet.begun is not None


async def test_a_burst_is_served_in_the_order_of_its_coming_and_nobody_of_it_is_refused() -> None:
    scene = Shedding()
    for _ in range(500):
        for who in range(4):
            scene.send(f"service{who}", brief=True)
    for number in range(1, 2000):
        assert scene.sent[number - 1].begun is not None
        assert scene.sent[number].begun is None
        await turn()
    assert scene.reasons == []


async def test_callers_who_wait_for_their_answers_are_not_refused_where_all_of_them_may_wait() -> None:
    """A closed loop at capacity: each begins again as soon as it was served."""
    scene = Shedding()
    callers = MOST_IN_OVERLOAD
    under_way = deque(scene.send("busy") for _ in range(callers))
    for _ in range(sized(5000, 50_000)):
        await turn()
        while under_way and under_way[0].begun is not None:
            under_way.popleft().begun.ended()  # type: ignore[union-attr]  # it was just looked at
            under_way.append(scene.send("busy"))
    assert scene.reasons == []


async def overwhelm(scene: Shedding, who: str, turns: int, each_turn: int) -> None:
    """More come than can be begun, turn after turn."""
    for _ in range(turns):
        for _ in range(each_turn):
            scene.send(who, brief=True)
        await turn()


async def test_overload_is_refused_early_and_what_is_served_is_new() -> None:
    scene = Shedding()
    turns = sized(2000, 20_000)
    await overwhelm(scene, "noisy", turns, 3)
    begun = len(scene.waits)
    assert begun >= turns  # every turn of the loop began one: no capacity was lost
    assert scene.shedder.waiting <= MOST_IN_OVERLOAD
    assert set(scene.reasons) == {"pushed_out"}
    late = scene.sent[-MOST_IN_OVERLOAD * 2 :]
    assert sum(asked.begun is not None for asked in late[-10:]) >= 2  # the newest, not the oldest
    assert all(asked.refusal is None or asked.refusal.retry_after for asked in scene.sent)
    refused = sum(asked.refusal is not None for asked in scene.sent)
    assert refused + begun + scene.shedder.waiting == len(scene.sent)


async def test_nobody_is_buried_under_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overload that is hardly any: the queue is not full, and the newest go first."""
    scene = Shedding()
    await overwhelm(scene, "noisy", 1000, 3)
    waiting = [asked for asked in scene.sent if asked.waits]
    assert len(waiting) >= MOST_IN_OVERLOAD - 1
    monkeypatch.setattr(overload, "LONGEST_WAIT_NS", 0)
    await overwhelm(scene, "noisy", MOST_IN_OVERLOAD, 1)
    assert not any(asked.waits for asked in waiting)


async def test_a_quiet_service_is_never_refused_for_a_noisy_one() -> None:
    scene = Shedding()
    await overwhelm(scene, "noisy", 1000, 3)
    for _ in range(200):
        quiet = [scene.send("quiet", brief=True) for _ in range(10)]
        await overwhelm(scene, "noisy", 2 * len(quiet) + 1, 3)
        assert all(asked.begun is not None for asked in quiet)
    assert len(scene.reasons) > 1000


async def test_overload_is_over_when_no_more_come_than_are_begun() -> None:
    scene = Shedding()
    await overwhelm(scene, "noisy", 1000, 3)
    refused = len(scene.reasons)
    await overwhelm(scene, "noisy", 3000, 1)
    assert len(scene.reasons) - refused <= MOST_IN_OVERLOAD
    settled = len(scene.reasons)
    for _ in range(MOST_IN_OVERLOAD + 100):  # a burst is welcome again
        scene.send("noisy", brief=True)
    await turn()
    assert len(scene.reasons) == settled


async def test_who_has_left_is_passed_over_and_takes_nobodys_place() -> None:
    scene = Shedding(under_way=6)
    scene.send("a")
    gone = [scene.send("a", left=True) for _ in range(100)]
    last = scene.send("a")
    for _ in range(10):
        await turn()
    assert last.begun is not None
    assert scene.shedder.under_way == 2
    assert all(asked.waits for asked in gone)
    assert len(scene.waits) == 2


async def test_no_more_are_under_way_than_may_be_and_a_quiet_service_finds_room() -> None:
    """Open streams hold their place until they end, and no turn of the loop."""
    scene = Shedding(under_way=40)
    for _ in range(100):
        prepared(scene.send("noisy"))
        await turn()
        prepared(scene.sent[-1])
    assert scene.shedder.under_way == 20
    assert scene.reasons == ["under_way"] * 80
    quiet = scene.send("quiet")
    await turn()
    assert quiet.begun is not None
    for asked in scene.sent:
        if asked.begun is not None:
            asked.begun.ended()
            asked.begun.ended()  # twice is as once
    assert scene.shedder.under_way == 0


async def test_what_is_slow_to_prepare_keeps_nobody_else_waiting() -> None:
    """Bodies that do not come, or a log that is slow: as many are begun as are shared, others go on."""
    scene = Shedding()
    for _ in range(1000):
        scene.send("slow")
        await turn()
    begun = [asked for asked in scene.sent if asked.begun is not None]
    assert len(begun) == MOST_PREPARING // 2
    for _ in range(50):
        quiet = scene.send("quiet")
        await turn()
        assert quiet.begun is not None
        quiet.begun.ended()
    for asked in begun:
        prepared(asked)
    for _ in range(MOST_PREPARING):
        await turn()
    assert sum(asked.begun is not None for asked in scene.sent) == 50 + MOST_PREPARING


async def test_a_full_queue_refuses_and_tells_whom() -> None:
    scene = Shedding(waiting=10)
    for _ in range(20):
        scene.send("noisy")
    assert scene.reasons == ["queue_full"] * 14  # one was begun, five wait: half of the places
    record, call_id = scene.records[-1]
    assert (record.type, record.decision, record.reason) == (
        RecordType.DENIED,
        "refuse",
        Kind.OVERLOADED.value,
    )
    assert (record.subject, record.cert_sha256) == ("spiffe://d/noisy", "noisy-certificate")
    assert (record.rule, record.transport, call_id) == ("overload.queue_full", "https", "call_noisy19")
    quiet = scene.send("quiet")
    await turn()
    await turn()
    assert quiet.begun is not None


async def test_strangers_are_one_subject_and_leave_no_record() -> None:
    scene = Shedding(waiting=10)
    for number in range(20):
        scene.shedder.arrive(Sender(None, "https"), Asked(str(number)))
    assert scene.reasons == ["queue_full"] * 14
    assert scene.records == []
