"""The limits of a call: what it is charged against them, and what they are called where it is recorded.

Knows: decisions, worst cases, the rules for names. Must not know: counters, records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from broker.budget.window import start_of
from broker.call.charging import ONE_REQUEST
from broker.call.naming import Commit, limit_name
from broker.catalog.reserve import Reserve
from broker.model.charge import Charge, Taken, amounts
from broker.model.decision import CallDecision, Limit

_KEPT = 4096


class CallLimits:
    """One for all calls: what a limit is called is found once, for the 4,096 that were asked about last."""

    def __init__(self, finds: Callable[[str], bool], commit: Commit) -> None:
        """`finds`: whether a content rule sees something in a text."""
        self._finds = finds
        self._commit = commit
        self._name = lru_cache(maxsize=_KEPT)(self._named)

    def charges(self, decision: CallDecision, worst: Reserve, now_ns: int) -> Sequence[Charge]:
        """Every limit of the decision, charged with the worst case of this call in the window of now."""
        used = amounts(ONE_REQUEST, worst.tokens, worst.micro_usd)
        return [
            Charge(
                Taken(
                    self._name(limit),
                    limit.unit,
                    limit.window_seconds,
                    start_of(now_ns, limit.window_seconds),
                    used[limit.unit],
                ),
                limit.cap,
                limit.key,
            )
            for limit in decision.limits
        ]

    def _named(self, limit: Limit) -> str:
        return limit_name(limit, self._commit, found=self._finds(limit.key))
