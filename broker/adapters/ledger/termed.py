"""The ledger of a machine whose limits are shared with others: what it takes counts in terms.

Knows terms, and that no cap is judged here. Must not know who judges it, or where the other machines are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.submission import SequencedEntry, TermEnded
from broker.model.charge import Charge, Taken
from broker.model.record import Receipt, Record, RecordType
from broker.model.units import NS_PER_SECOND
from broker.tlog.revoked import refused_until


class TermLedger(FileLedger):
    """A FileLedger that records what was taken elsewhere, and what its machine has taken. A term is a number,
    each greater than the one before: what was let be taken in an earlier one is not recorded any more.
    """

    async def begin_term(self, term: int) -> tuple[Taken, ...]:
        """The next term of the machine; one at a time. All that its calls, of every process, had taken by
        then: what they take later is in the new term. Raises BrokerError AUDIT_UNAVAILABLE.
        """
        if self._link is None or self._failure is not None:
            raise self._refusal()
        return await self._link.begin_term(term)

    async def append(self, record: Record) -> Receipt:
        """See `FileLedger.append`."""
        receipt = await super().append(record)
        if record.type is RecordType.REVOKED and record.token_id is not None:
            self._revoked[record.token_id] = refused_until(self._clock.now_ns() // NS_PER_SECOND)
        return receipt

    def hear_revoked(self, token_id: str, until: int) -> None:
        """Another machine has had this token revoked."""
        if token_id not in self._revoked:
            self._revoke(token_id, until)

    async def record_reserved(self, intent: Record, charges: Sequence[Charge], term: int) -> bool:
        """Makes the intent durable, as `append`, of which all charges were taken in this term; False, and
        nothing is recorded, where that has ended.
        """
        unbounded = [each._replace(observed=True, warn_at=0, slices=1) for each in charges]
        answer = await self._waiting[self._submit(intent, charges=unbounded, term=term)]
        return not isinstance(answer, TermEnded)

    async def record_settled(self, outcome: Record, changes: Sequence[Taken]) -> tuple[Receipt, int]:
        """Makes the outcome durable, as `append`, and tells in which term it changed what is taken."""
        answer = cast("SequencedEntry", await self._waiting[self._submit(outcome, changes=changes)])
        return self._receipt(answer), answer.term
