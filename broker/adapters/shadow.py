"""A candidate policy beside the live one: asked about real calls, off their path, and never enforced.

Knows: an Authorizer, a queue, a thread. Must not know: what calls carry. Nothing that the candidate does,
be it slow, wrong or broken, reaches a call: `observe` only puts a note in a queue, and a queue that is full
loses the note.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

from broker.errors import Kind
from broker.model.answers import parse_call_decision
from broker.model.decision import CallDecision
from broker.model.record import Record, RecordType
from broker.ports import Authorizer, Clock, DecisionPoint, Ledger, Observation
from broker.replay.decision import found_rules

QUEUE = 1000
"""How many decisions wait for the candidate at most."""
DEADLINE_SECONDS = 1.0
_BATCH = 64  # records that share one sync of the log
_DRAW_BYTES = 4
_DRAWS = 2 ** (8 * _DRAW_BYTES)
_JOIN_SECONDS = 2.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ShadowTally:
    """What became of the sampled decisions: recorded with the same verdict or another one, failed (the
    candidate gave no decision, or the record was not taken), or dropped because the queue was full.
    """

    agreed: int = 0
    allow_to_deny: int = 0
    deny_to_allow: int = 0
    failed: int = 0
    dropped: int = 0


class ShadowObserver:
    """A ports.DecisionObserver. Use: `start()` on the event loop that observes, then `await aclose()`.

    One task takes the sampled decisions in turn, asks the candidate in a thread with an event loop of its
    own, and records a `shadow` record for each. A candidate that misses the deadline is asked nothing more
    until it has returned.
    """

    def __init__(
        self,
        candidate: Authorizer,
        ledger: Ledger,
        clock: Clock,
        *,
        sample: float,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """`sample` is the share of decisions that are looked at, 0 to 1. Raises ValueError outside."""
        if not 0 <= sample <= 1:
            raise ValueError("the sample rate of a shadow is not between 0 and 1")
        self._candidate = candidate
        self._ledger = ledger
        self._clock = clock
        self._below = round(sample * _DRAWS)
        self._deadline = deadline_seconds
        self._queue: asyncio.Queue[Observation] = asyncio.Queue(QUEUE)
        self._late: asyncio.Future[CallDecision] | None = None
        self._counts = dict.fromkeys(ShadowTally.__dataclass_fields__, 0)
        self._worker: asyncio.Task[None] | None = None

    @property
    def tally(self) -> ShadowTally:
        """The counts so far."""
        return ShadowTally(**self._counts)

    def observe(self, observation: Observation) -> None:
        """See ports.DecisionObserver. Called on the event loop."""
        if int.from_bytes(self._clock.random_bytes(_DRAW_BYTES)) >= self._below:
            return
        try:
            self._queue.put_nowait(observation)
        except asyncio.QueueFull:
            self._counts["dropped"] += 1

    def start(self) -> None:
        """Begins to ask the candidate."""
        self._aside = _Aside()
        self._worker = asyncio.create_task(self._work())

    async def aclose(self) -> None:
        """Stops. What still waits is dropped, and a candidate that does not return is left behind."""
        if self._worker is None:
            return
        self._worker.cancel()
        await asyncio.wait({self._worker})
        self._counts["dropped"] += self._queue.qsize()
        await asyncio.to_thread(self._aside.close)

    async def _work(self) -> None:
        while True:
            records = [await self._judged(await self._queue.get())]
            while self._late is None and len(records) < _BATCH and not self._queue.empty():
                records.append(await self._judged(self._queue.get_nowait()))
            await self._append(records)
            if self._late is not None:
                await asyncio.wait({self._late})
                self._late = None

    async def _judged(self, seen: Observation) -> Record:
        """What the candidate would have ruled, as a record."""
        asked = self._aside.ask(self._decide(seen))
        asked.add_done_callback(_seen_to)
        await asyncio.wait({asked}, timeout=self._deadline)
        if not asked.done():
            self._late = asked
            return self._record(seen, None)
        failed = asked.cancelled() or asked.exception() is not None
        return self._record(seen, None if failed else asked.result())

    async def _decide(self, seen: Observation) -> CallDecision:
        """Runs aside."""
        verdict = await self._candidate.evaluate(DecisionPoint.CALLS, dict(seen.document))
        return parse_call_decision(verdict.result, verdict.policy, found=found_rules(seen.document))

    def _record(self, seen: Observation, decision: CallDecision | None) -> Record:
        """`decision` is None where the candidate made none: enforced, it would have refused the call."""
        policy = decision.policy if decision else self._candidate.version
        return Record(
            RecordType.SHADOW,
            seen.call_id,
            user=seen.user,
            subject=seen.subject,
            tenant=seen.tenant,
            operation=seen.operation,
            model_requested=seen.model,
            decision=_word(decision) if decision else "refuse",
            reason=None if decision else Kind.POLICY_ENGINE_UNAVAILABLE.value,
            rule=decision.rule if decision else None,
            policy_revision=policy.revision,
            policy_sha256=policy.sha256,
            enforced=_word(seen.enforced),
        )

    async def _append(self, records: list[Record]) -> None:
        """Counts what the log holds, so that the two never disagree."""
        done = await asyncio.gather(*map(self._ledger.append, records), return_exceptions=True)
        for record, receipt in zip(records, done, strict=True):
            self._counts["failed" if isinstance(receipt, BaseException) else _outcome(record)] += 1


class _Aside:
    """An event loop in a thread of its own: an Authorizer that computes holds up nobody else."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="policy-shadow", daemon=True)
        self._thread.start()

    def ask(self, question: Coroutine[object, object, _T]) -> asyncio.Future[_T]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question, self._loop))

    def close(self) -> None:
        """Waits a moment for what runs; what does not return ends with the process."""
        with suppress(RuntimeError):  # it has ended already: what the candidate raised was not an Exception
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop):
            self._loop.run_forever()


def _seen_to(asked: asyncio.Future[CallDecision]) -> None:
    """A failure is recorded; where it comes late, or after the end, asyncio is not to tell of it, too."""
    if not asked.cancelled():
        asked.exception()


def _word(decision: CallDecision) -> str:
    return "allow" if decision.allow else "deny"


def _outcome(record: Record) -> str:
    """The count of ShadowTally that a shadow record belongs to."""
    if record.decision == "refuse":
        return "failed"
    return "agreed" if record.decision == record.enforced else f"{record.enforced}_to_{record.decision}"
