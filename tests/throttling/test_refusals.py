"""What a caller can do for nothing must not fill the disk: refusals are throttled by certificate, and
counted.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from broker.adapters import repeated_refusals
from broker.adapters.ledger.space import SpaceWatch
from broker.adapters.repeated_refusals import CountedRefusals
from broker.errors import BrokerError, Kind
from broker.listeners.throttling import Throttle
from broker.model.record import Receipt, Record, RecordType
from broker.model.request_context import RequestContext
from broker.model.subject import Peer
from tests.keypool.fakes import MemoryLedger

RECORDED = 10
DENIED = Record(
    RecordType.DENIED,
    call_id="c",
    subject="spiffe://d/a",
    operation="chat",
    decision="deny",
    reason="POLICY_DENIED",
    rule="grants.none",
    tenant="t",
)


class Clock:
    """Moved by hand; whoever sleeps is woken by `tick`."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000_000
        self._sleepers: list[asyncio.Future[None]] = []

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    def random_bytes(self, size: int) -> bytes:
        return bytes(size)

    async def sleep(self, _seconds: float) -> None:
        self._sleepers.append(asyncio.get_running_loop().create_future())
        await self._sleepers[-1]

    async def tick(self) -> None:
        await asyncio.sleep(0)
        woken, self._sleepers = self._sleepers, []
        for sleeper in woken:
            sleeper.set_result(None)
        for _ in range(9):
            await asyncio.sleep(0)

    def forward(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


class Log(MemoryLedger):
    """A ledger in memory, at once."""

    async def append(self, record: Record) -> Receipt:
        self.records.append(record)
        return Receipt("o", len(self.records) - 1, bytes(32))


def _context(certificate: str = "ab") -> RequestContext:
    return RequestContext("c", _peer(certificate), "https")


def _peer(certificate: str = "ab") -> Peer:
    return Peer(
        spiffe_id="spiffe://d/a",
        cert_sha256=certificate,
        not_before=0,
        not_after=2**40,
    )


async def test_repeated_denials_become_one_record_with_a_count_and_a_time_span() -> None:
    log, clock = Log(), Clock()
    counted = CountedRefusals(log, clock, recorded=RECORDED)
    counted.start()
    for number in range(1000):
        await counted.append(DENIED._replace(call_id=f"c{number}", user=f"u{number}"))
        clock.forward(0.001)
    assert len(log.records) == RECORDED
    await clock.tick()
    [told] = log.records[RECORDED:]
    assert (told.count, told.call_id, told.subject) == (1000 - RECORDED, "c0", DENIED.subject)
    assert (told.reason, told.rule, told.tenant) == (DENIED.reason, DENIED.rule, "t")
    assert told.user is None  # they differed
    assert (told.first_us, told.last_us) == (1_000_010_000, 1_000_999_000)
    await counted.append(DENIED)  # it goes on: counted from the first one
    await clock.tick()
    assert log.records[-1].count == 1
    await clock.tick()
    await clock.tick()
    await counted.append(DENIED)  # after a quiet interval it is news again
    assert log.records[-1].count is None
    await counted.aclose()


async def test_the_first_refusal_is_recorded_at_once_and_each_reason_by_itself() -> None:
    log = Log()
    counted = CountedRefusals(log, Clock(), recorded=RECORDED)
    for reason in ("POLICY_DENIED", "BAD_REQUEST"):
        for _ in range(RECORDED):
            await counted.append(DENIED._replace(reason=reason))
    await counted.append(Record(RecordType.INTENT, call_id="i"))
    assert len(log.records) == 2 * RECORDED + 1


async def test_what_was_counted_is_written_at_shutdown() -> None:
    log = Log()
    counted = CountedRefusals(log, Clock(), recorded=RECORDED)
    counted.start()
    for _ in range(RECORDED + 5):
        await counted.append(DENIED)
    await counted.aclose()
    assert log.records[-1].count == 5


async def test_subjects_beyond_memory_are_recorded_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_refusals, "RUNS", 3)
    log = Log()
    counted = CountedRefusals(log, Clock(), recorded=RECORDED)
    for number in range(50):
        await counted.append(DENIED._replace(subject=f"s{number}"))
    assert len(log.records) == 50


async def test_a_certificate_that_is_refused_too_often_is_refused_unasked() -> None:
    log, clock = Log(), Clock()
    throttle = Throttle(log, clock, per_second=10, burst=20)
    for _ in range(20):
        await throttle.admit(_context(), "chat")
        throttle.refused(_peer(), BrokerError(Kind.POLICY_DENIED, "no"))
    with pytest.raises(BrokerError) as refused:
        await throttle.admit(_context(), "chat")
    assert refused.value.kind is Kind.RATE_LIMITED
    assert refused.value.retry_after == 1.0
    assert [(record.type, record.reason) for record in log.records] == [(RecordType.DENIED, "RATE_LIMITED")]
    await throttle.admit(_context("cd"), "chat")  # another certificate is not meant
    clock.forward(0.2)
    await throttle.admit(_context(), "chat")


async def passed(throttles: list[Throttle], clock: Clock, *, per_second: int, seconds: int) -> int:
    """How many of a certificate's refused calls come through, of so many a second at each worker; these tell
    each other each half second.
    """
    through = 0
    for tick in range(seconds * per_second):
        clock.forward(1 / per_second)
        for throttle in throttles:
            try:
                await throttle.admit(_context(), "chat")
            except BrokerError:
                continue
            throttle.charge(_peer())
            through += 1
        if tick % (per_second // 2) == 0:
            told = [throttle.charged() for throttle in throttles]
            for throttle in throttles:
                for other, charged in zip(throttles, told, strict=True):
                    if other is not throttle:
                        throttle.hear(charged)
    return through


async def test_a_certificate_gets_no_more_by_asking_many_workers() -> None:
    clock, seconds = Clock(), 300
    throttles = [Throttle(Log(), clock, per_second=10, burst=100) for _ in range(8)]
    through = await passed(throttles, clock, per_second=50, seconds=seconds)
    half_a_second = 8 * 25
    assert 10 * seconds <= through <= 100 + half_a_second + 10 * seconds


async def test_what_may_be_refused_each_second_is_not_less_with_many_workers() -> None:
    clock = Clock()
    throttles = [Throttle(Log(), clock, per_second=10, burst=100) for _ in range(4)]
    for throttle in throttles[1:]:
        assert await passed([throttle], clock, per_second=8, seconds=60) == 480
    assert await passed(throttles, clock, per_second=2, seconds=60) == 480  # all four together


async def test_what_is_not_the_callers_doing_is_not_charged() -> None:
    throttle = Throttle(Log(), Clock(), per_second=10, burst=1)
    for kind in (
        Kind.POLICY_ENGINE_UNAVAILABLE,
        Kind.AUDIT_UNAVAILABLE,
        Kind.UPSTREAM_UNAVAILABLE,
        Kind.INTERNAL,
    ):
        for _ in range(5):
            throttle.refused(_peer(), BrokerError(kind, "not now"))
    await throttle.admit(_context(), "chat")


async def test_a_disk_that_fills_is_told_of_and_calls_are_refused_before_it_is_full(tmp_path: Path) -> None:
    log, clock, free = Log(), Clock(), 1000
    watch = SpaceWatch(log, tmp_path, clock, warn_bytes=500, floor_bytes=100, free=lambda _path: free)
    await watch.start()
    await watch.append(DENIED)
    assert watch.problem() == ""
    free = 99
    await watch._look()
    assert watch.free_bytes == 99
    assert "space" in watch.problem()
    for kind in (RecordType.INTENT, RecordType.TOKEN, RecordType.DENIED):
        with pytest.raises(BrokerError, match="too little space") as refused:
            await watch.append(Record(kind, call_id="c"))
        assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
    for kind in (RecordType.OUTCOME, RecordType.REVOKED, RecordType.CLOSE):  # what is begun can end
        await watch.append(Record(kind, call_id="c"))
    free = 1000
    await watch._look()
    await watch.append(DENIED)
    await watch.aclose()
