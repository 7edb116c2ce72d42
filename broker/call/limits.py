"""The limits of a call: what it is charged against them, and what they are called where it is recorded.

Knows: decisions, worst cases, the rules for names. Must not know: counters, records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache

from broker.budget.window import span_at
from broker.call.naming import Commit, limit_name
from broker.catalog.reserve import Reserve
from broker.model.charge import HELD, Charge, Taken, most
from broker.model.decision import CallDecision
from broker.model.limit import Limit

_KEPT = 4096
_PERCENT = 100


class CallLimits:
    """One for all calls: what a limit is called is found once, for the 4,096 that were asked about last."""

    def __init__(self, finds: Callable[[str], bool], commit: Commit, zone: tzinfo) -> None:
        """`finds`: whether a content rule sees something in a text. `zone`: whose calendar counts where a
        limit names none.
        """
        self._finds = finds
        self._zone = zone
        self._commit = commit
        self._name = lru_cache(maxsize=_KEPT)(self._named)

    def charges(
        self, decision: CallDecision, worst: Reserve, now_ns: int, *, stream: bool
    ) -> Sequence[Charge]:
        """Every limit of the decision that the call takes of, charged with the worst case of it in the window
        of now.
        """
        amounts = most(worst.tokens, worst.micro_usd, stream=stream)
        return [
            self._charge(limit, amounts[limit.unit], now_ns)
            for limit in decision.limits
            if amounts[limit.unit] or limit.unit not in HELD
        ]

    def _charge(self, limit: Limit, amount: int, now_ns: int) -> Charge:
        start, seconds, slices = span_at(limit.rule, now_ns, self._zone)
        warn_at = -(-limit.cap * limit.warn_percent // _PERCENT) if seconds else 0
        taken = Taken(self._name(limit), limit.unit, seconds, start, amount)
        return Charge(taken, limit.cap, limit.key, slices, limit.observed, warn_at, limit.fit)

    def _named(self, limit: Limit) -> str:
        return limit_name(limit, self._commit, found=self._finds(limit.key))
