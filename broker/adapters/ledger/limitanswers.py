"""What a writer answers who asks about limits: at once what is a look, on a thread what looks through all.

Knows what is taken, what is under way, and which resets are. Must not know sockets, or who may know.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from broker.adapters.ledger.ledger_connection import LedgerConnection
from broker.adapters.ledger.limitedlog import LimitedLog
from broker.adapters.ledger.limitquery import LimitQuery, LimitQuestion
from broker.adapters.ledger.resets import ResetClaim, ResetClaims
from broker.adapters.ledger.submission import DraftedEntry
from broker.budget.uses import LimitUses
from broker.model.charge import LimitUse, Taken, Window
from broker.tlog.entry import drafted


class LimitAnswers:
    """Of one log. For the thread that writes it."""

    def __init__(self, log: LimitedLog) -> None:
        self._log = log
        self._resets = ResetClaims()

    def answer(
        self, ledger: LedgerConnection, query: LimitQuery, ledgers: Iterable[LedgerConnection]
    ) -> None:
        """Told to whoever asks; `ledgers` are all there are, their calls under way."""
        if query.asks is LimitQuestion.TAKEN:
            ledger.say(query.told(self._log.taken_of(query.windows)))
            return
        if query.asks is LimitQuestion.MOST_USED:
            look = partial(_say_most_used, ledger, query, self._log.uses())
        elif (claim := self._resets.claim(query.named, time.monotonic())) is not None:
            intents = [intent for each in ledgers for intent in each.under_way.values()]
            look = partial(_say_settled, ledger, query, self._log.uses(), intents, claim)
        else:
            ledger.say(query.told([]))
            return
        threading.Thread(target=look, name="limits-told", daemon=True).start()

    def given_back(self, changes: Iterable[Taken]) -> None:
        """A reset is recorded."""
        self._resets.given_back(changes, time.monotonic())


def _say_most_used(ledger: LedgerConnection, query: LimitQuery, uses: LimitUses) -> None:
    ledger.say(query.told(uses.most_used(query.named, query.most)))


def _say_settled(
    ledger: LedgerConnection,
    query: LimitQuery,
    uses: LimitUses,
    intents: Sequence[DraftedEntry],
    claim: ResetClaim,
) -> None:
    """What calls under way have reserved is not settled."""
    open_ones: Counter[Window] = Counter()
    for intent in intents:
        for each in drafted(intent.draft).reserved or ():
            open_ones[each[:4]] += each.amount
    over = [each._replace(amount=each.amount - open_ones[each[:4]]) for each in uses.of(query.named)]
    settled = [each for each in over if each.seconds and each.amount > 0]
    claim.told(settled)
    ledger.say(query.told([LimitUse(each, None) for each in settled]))
