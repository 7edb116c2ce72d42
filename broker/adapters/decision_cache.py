"""Kept decisions: an Authorizer that answers an equal question again, for as long as the policy said.

Knows: `cache_for`, and what makes a kept answer worthless. Must not know: what else a decision says.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import orjson

from broker.identity.revocation import RevocationSet
from broker.model.decision import PolicyVersion
from broker.model.units import NS_PER_SECOND
from broker.ports import Authorizer, Clock, DecisionPoint, Evaluation

KEPT = 4096
"""How many answers are kept; then it begins anew."""
_LONGEST_SECONDS = 3600
_VOLATILE = "now_ns"  # everything else a policy can read is a part of the question


@dataclass(frozen=True, slots=True)
class _Kept:
    verdict: Evaluation
    until_ns: int


class CachingAuthorizer:
    """Asks `inner` once for equal questions while its answer may be kept: a result's `cache_for`, in seconds.

    Two questions are equal when their input documents are, apart from `now_ns`. Everything kept is forgotten
    on a new policy version and on any revocation. Nothing is kept that the policy did not ask to be kept.
    """

    def __init__(self, inner: Authorizer, revocations: RevocationSet, clock: Clock) -> None:
        self._inner = inner
        self._revocations = revocations
        self._clock = clock
        self._kept: dict[tuple[DecisionPoint, bytes], _Kept] = {}
        self._made_under = self._circumstances()

    @property
    def version(self) -> PolicyVersion:
        """See ports.Authorizer."""
        return self._inner.version

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Authorizer."""
        self._forget_if_stale()
        if self._kept:  # many policies keep nothing: then the question need not be read
            kept = self._kept.get((point, _digest(document)))
            if kept is not None and self._clock.monotonic_ns() < kept.until_ns:
                return kept.verdict
        asked_under = self._circumstances()
        verdict = await self._inner.evaluate(point, document)
        seconds = _seconds(verdict.result)
        if seconds and asked_under == self._circumstances() and verdict.policy == self._inner.version:
            self._keep(point, document, verdict, seconds)
        return verdict

    def _keep(
        self, point: DecisionPoint, document: dict[str, object], verdict: Evaluation, seconds: int
    ) -> None:
        self._forget_if_stale()
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[point, _digest(document)] = _Kept(
            verdict, self._clock.monotonic_ns() + seconds * NS_PER_SECOND
        )

    def _forget_if_stale(self) -> None:
        now = self._circumstances()
        if now != self._made_under:
            self._kept.clear()
            self._made_under = now

    def _circumstances(self) -> tuple[PolicyVersion, int]:
        return self._inner.version, self._revocations.revoked


def _seconds(result: object) -> int:
    """How long a result may be kept: 0 unless it is an object that says so with a plain whole number."""
    seconds = result.get("cache_for") if isinstance(result, dict) else None
    return min(seconds, _LONGEST_SECONDS) if type(seconds) is int and seconds > 0 else 0


def _digest(document: dict[str, object]) -> bytes:
    asked = {name: value for name, value in document.items() if name != _VOLATILE}
    return blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
