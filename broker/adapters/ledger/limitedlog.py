"""The log and what its calls take of limits, as one: nothing is recorded that was not taken, and what is
taken is recorded.

Knows submissions. Must not know who asks. Blocking; for one thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.adapters.ledger.beginning import first_records
from broker.adapters.ledger.opening import OpenedLog, Opening
from broker.adapters.ledger.recovery import closing_record
from broker.adapters.ledger.store import LogStore
from broker.adapters.ledger.submission import (
    DraftedEntry,
    SequencedEntry,
    Submission,
    SubmissionResult,
    TermEnded,
)
from broker.budget.limits import CapPassed, LimitTaken, LimitWindows
from broker.budget.uses import LimitUses
from broker.model.charge import LimitUse, Taken, Window, given_back
from broker.model.record import Record
from broker.model.units import NS_PER_US
from broker.tlog.entry import draft


class LimitedLog:
    """Of an open log, of which this process is the only writer."""

    def __init__(self, store: LogStore, opening: Opening) -> None:
        """Records what a start does. Raises OSError."""
        self._store = store
        self._instance = opening.instance
        self._windows = LimitWindows(store.spent)
        self.term = 0
        """The machine's, where limits are shared with other machines."""
        first = first_records(store.recovered, opening, store.signer.public_key)
        store.write([self.drafted(record) for record in first])

    @property
    def size(self) -> int:
        """How many entries are durable."""
        return self._store.size

    @property
    def revoked(self) -> tuple[tuple[str, int], ...]:
        """See LogStore."""
        return self._store.revoked

    def opened(self) -> OpenedLog:
        """What there is now."""
        store = self._store
        return OpenedLog(
            store.vkey,
            store.signer.kid,
            self._instance,
            self.size,
            store.revoked,
            store.recovered.unremembered,
            len(self._windows.items()),
            store.recounted,
        )

    def drafted(self, record: Record) -> DraftedEntry:
        """An entry of this process's own. Raises MalformedError."""
        made = draft(record, self._instance, time.time_ns() // NS_PER_US, self._store.signer.kid)
        return DraftedEntry(record.type, record.call_id, made)

    def begin_term(self, term: int) -> tuple[Taken, ...]:
        """From now on nothing is taken that was charged in another term. What is taken by now."""
        self.term = term
        return self._windows.items()

    def recovered(self, intent: Record) -> Submission:
        """That a call is over without an outcome: what it held comes back."""
        entry = self.drafted(closing_record(intent))
        return Submission(0, entry, changes=given_back(intent.reserved or ()))

    def take(self, submission: Submission) -> tuple[LimitTaken, ...] | CapPassed | TermEnded:
        """Takes what it is charged, if all of it can be: see LimitWindows."""
        if not submission.charges:
            return ()
        if submission.term != self.term:
            return TermEnded(self.term)
        return self._windows.reserve(submission.charges)

    def taken_of(self, windows: Sequence[Window]) -> list[LimitUse]:
        """What is taken of each now."""
        taken = self._windows.taken_of(windows)
        return [LimitUse(Taken(*each, amount), None) for each, amount in zip(windows, taken, strict=True)]

    def uses(self) -> LimitUses:
        """What is taken of all limits, as of now."""
        return self._windows.uses(int(time.time()))

    def write(self, batch: Sequence[tuple[Submission, tuple[LimitTaken, ...]]]) -> list[SubmissionResult]:
        """Makes these durable, of which this was taken, and changes what they change. Raises OSError: then
        nothing may be written any more.
        """
        first = self._store.size
        leaves = self._store.write([submission.entry for submission, _ in batch])
        for submission, _ in batch:
            if submission.changes:
                self._windows.change(submission.changes)
        self._windows.forget_ended(int(time.time()))
        return [
            SequencedEntry(seq, leaf, taken, self.term)
            for seq, (leaf, (_, taken)) in enumerate(zip(leaves, batch, strict=True), first)
        ]
