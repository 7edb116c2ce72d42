"""A candidate in the shadow: recorded, counted, and never felt by a call."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from broker.adapters.ledger.disk import Disk
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.shadow import QUEUE, ShadowObserver, ShadowTally
from broker.adapters.telemetry import ShadowMetric
from broker.errors import BrokerError, Kind
from broker.model.decision import CallDecision, Content, PolicyVersion
from broker.model.record import Receipt, Record, RecordType
from broker.ports import Authorizer, DecisionPoint, Evaluation, Observation
from tests.ledger.support import RealClock, entries, opened
from tests.replay.support import ALICE, BOB, policies, question

LIVE = PolicyVersion("live", "1" * 64)


def _seen(call_id: str, subject: str, *, allow: bool, rules: tuple[str, ...] = ()) -> Observation:
    enforced = CallDecision(allow, "live_rule", "", LIVE, Content())
    return Observation(
        call_id, "user", subject, "demo", "chat", "gpt-4o", question(subject, "gpt-4o", *rules), enforced
    )


class Broken:
    """An authorizer that answers as it is told, on whatever thread it is asked."""

    version = PolicyVersion("candidate", "2" * 64)

    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:  # noqa: ARG002 - the port's
        return Evaluation(self._answer(), self.version)


class Draws(RealClock):
    """Randomness from a list."""

    def __init__(self, *draws: int) -> None:
        self._draws = list(draws)

    def random_bytes(self, size: int) -> bytes:
        return self._draws.pop(0).to_bytes(size)


@asynccontextmanager
async def _shadow(home: Path, candidate: Authorizer, **options: float) -> AsyncIterator[ShadowObserver]:
    async with opened(home, disk=Disk()) as log:
        shadow = ShadowObserver(candidate, log, RealClock(), **{"sample": 1.0, **options})
        shadow.start()
        try:
            yield shadow
        finally:
            await shadow.aclose()


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - counts have no event
            await asyncio.sleep(0.005)


def _shadows(home: Path) -> list[Record]:
    return [entry.record for entry in entries(home) if entry.record.type is RecordType.SHADOW]


async def test_each_verdict_is_recorded_with_what_was_enforced(tmp_path: Path) -> None:
    candidate = EmbeddedAuthorizer(policies(tmp_path / "p", models={"gpt-4o": [ALICE]}))
    async with _shadow(tmp_path, candidate) as shadow:
        shadow.observe(_seen("c1", ALICE, allow=True))
        shadow.observe(_seen("c2", BOB, allow=True))
        shadow.observe(_seen("c3", ALICE, allow=False))
        shadow.observe(_seen("c4", ALICE, allow=True, rules=("pii.iban",)))
        await _until(lambda: sum((shadow.tally.agreed, shadow.tally.failed)) == 2)
        assert shadow.tally == ShadowTally(agreed=2, allow_to_deny=1, deny_to_allow=1)
    found = _shadows(tmp_path)
    told = [(record.call_id, record.enforced, record.decision, record.rule) for record in found]
    assert told == [
        ("c1", "allow", "allow", "known"),
        ("c2", "allow", "deny", "stranger"),
        ("c3", "deny", "allow", "known"),
        ("c4", "allow", "allow", "known"),
    ]
    first = found[0]
    assert (first.user, first.subject, first.tenant, first.operation, first.model_requested) == (
        "user",
        ALICE,
        "demo",
        "chat",
        "gpt-4o",
    )
    assert PolicyVersion(first.policy_revision or "", first.policy_sha256 or "") == candidate.version
    assert all(record.policy_input is None for record in found)


def _raise(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    "answer",
    [
        lambda: None,
        lambda: {"allow": "yes"},
        lambda: _raise(BrokerError(Kind.POLICY_ENGINE_UNAVAILABLE, "no")),
        lambda: _raise(ZeroDivisionError()),
        lambda: _raise(MemoryError()),
        lambda: _raise(asyncio.CancelledError()),
    ],
)
async def test_a_broken_candidate_is_recorded_as_a_refusal(
    tmp_path: Path, answer: Callable[[], object]
) -> None:
    async with _shadow(tmp_path, Broken(answer)) as shadow:
        for call_id in ("c1", "c2"):
            shadow.observe(_seen(call_id, ALICE, allow=True))
        await _until(lambda: shadow.tally.failed == 2)
    assert [(r.decision, r.enforced, r.reason, r.policy_revision) for r in _shadows(tmp_path)] == [
        ("refuse", "allow", "POLICY_ENGINE_UNAVAILABLE", "candidate")
    ] * 2


async def test_a_finding_that_the_candidate_does_not_judge_is_a_failure(tmp_path: Path) -> None:
    directory = policies(tmp_path / "p", models={"gpt-4o": [ALICE]})
    rego = directory / "calls.rego"
    rego.write_text(
        rego.read_text().replace('{finding.rule: "allow" | some finding in input.findings}', "{}")
    )
    async with _shadow(tmp_path, EmbeddedAuthorizer(directory)) as shadow:
        shadow.observe(_seen("c1", ALICE, allow=True, rules=("pii.iban",)))
        await _until(lambda: shadow.tally.failed == 1)


async def test_a_candidate_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    released = threading.Event()
    slow = Broken(lambda: released.wait(30) and None)
    async with _shadow(tmp_path, slow, deadline_seconds=0.05) as shadow:
        shadow.observe(_seen("c0", ALICE, allow=True))
        await _until(lambda: shadow.tally.failed == 1)
        for number in range(QUEUE + 5):
            shadow.observe(_seen(f"c{number}", ALICE, allow=True))
        begun = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - begun < 5  # the loop is free although the candidate's thread is not
        assert shadow.tally == ShadowTally(failed=1, dropped=5)
        released.set()
        await _until(lambda: shadow.tally.failed == QUEUE + 1)
    assert len(_shadows(tmp_path)) == QUEUE + 1


async def test_a_candidate_that_fails_late_is_told_of_once(tmp_path: Path) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    released = threading.Event()
    late = Broken(lambda: released.wait(30) and _raise(ZeroDivisionError()))
    async with _shadow(tmp_path, late, deadline_seconds=0.05) as shadow:
        shadow.observe(_seen("c0", ALICE, allow=True))
        await _until(lambda: shadow.tally.failed == 1)
        released.set()
        shadow.observe(_seen("c1", ALICE, allow=True))
        await _until(lambda: shadow.tally.failed == 2)
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


async def test_closing_does_not_wait_for_a_candidate_that_hangs(tmp_path: Path) -> None:
    released = threading.Event()
    async with _shadow(tmp_path, Broken(lambda: released.wait(60)), deadline_seconds=0.01) as shadow:
        shadow.observe(_seen("c1", ALICE, allow=True))
        await _until(lambda: shadow.tally.failed == 1)
        shadow.observe(_seen("c2", ALICE, allow=True))
    assert shadow.tally == ShadowTally(failed=1, dropped=1)
    released.set()


async def test_the_candidate_runs_on_another_thread(tmp_path: Path) -> None:
    threads: set[int] = set()
    async with _shadow(tmp_path, Broken(lambda: threads.add(threading.get_ident()))) as shadow:
        shadow.observe(_seen("c1", ALICE, allow=True))
        await _until(lambda: bool(threads))
    assert threading.get_ident() not in threads


class Refusing:
    """A ledger that can record nothing any more."""

    async def append(self, record: Record) -> Receipt:  # noqa: ARG002 - the port's
        raise BrokerError(Kind.AUDIT_UNAVAILABLE, "no disk")


async def test_what_is_not_recorded_is_not_counted_as_agreed(tmp_path: Path) -> None:
    candidate = EmbeddedAuthorizer(policies(tmp_path / "p", models={"gpt-4o": [ALICE]}))
    shadow = ShadowObserver(candidate, Refusing(), RealClock(), sample=1)
    shadow.start()
    for _ in range(2):
        shadow.observe(_seen("c1", ALICE, allow=True))
        await _until(lambda: shadow.tally.failed > 0)
    await shadow.aclose()
    assert shadow.tally.agreed == 0


@pytest.mark.parametrize(
    ("sample", "draws", "taken"),
    [(0.0, (0,), 0), (1.0, (2**32 - 1,), 1), (0.5, (2**31 - 1, 2**31), 1), (0.25, (2**30, 2**30 - 1, 0), 2)],
)
async def test_a_share_is_sampled(
    tmp_path: Path, ledger: FileLedger, sample: float, draws: tuple[int, ...], taken: int
) -> None:
    shadow = ShadowObserver(Broken(lambda: None), ledger, Draws(*draws), sample=sample)
    for _ in draws:
        shadow.observe(_seen("c", ALICE, allow=True))
    shadow.start()
    await _until(lambda: shadow.tally.failed == taken)
    await shadow.aclose()
    assert shadow.tally == ShadowTally(failed=taken)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[FileLedger]:
    async with opened(tmp_path, disk=Disk()) as log:
        yield log


async def test_what_became_of_each_decision_is_a_metric(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with _shadow(tmp_path, Broken(lambda: None)) as shadow:
        registry.register(ShadowMetric(lambda: asdict(shadow.tally)))
        for number in range(QUEUE + 3):  # none is asked about before the loop goes on
            shadow.observe(_seen(f"c{number}", ALICE, allow=True))
        await _until(lambda: shadow.tally.failed == QUEUE)
        told = {
            word: registry.get_sample_value("broker_shadow_decisions_total", {"outcome": word})
            for word in ShadowTally.__dataclass_fields__
        }
    assert told == {"agreed": 0, "allow_to_deny": 0, "deny_to_allow": 0, "failed": QUEUE, "dropped": 3}


def test_without_a_candidate_there_is_no_metric_of_one() -> None:
    registry = CollectorRegistry()
    registry.register(ShadowMetric(dict))
    assert [*registry.collect()] == []


@pytest.mark.parametrize("sample", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(ledger: FileLedger, sample: float) -> None:
    with pytest.raises(ValueError, match="sample rate"):
        ShadowObserver(Broken(lambda: None), ledger, RealClock(), sample=sample)
