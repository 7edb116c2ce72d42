"""Keys whose money is used up: asked last for a minute, and told of once in it.

Knows: whose money pays for which member. Must not know: what upstream said in which words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from broker.adapters.keypool.key_health import KeyHealth
from broker.adapters.keypool.scheduler import PoolMember
from broker.model.pool import SpentMoney, paid_alike
from broker.model.secret import Lease
from broker.model.units import NS_PER_MINUTE
from broker.ports import Clock


class SpentKeys:
    """`members` are those of all pools, `healths` of every key in them."""

    def __init__(self, members: Iterable[PoolMember], healths: Mapping[str, KeyHealth], clock: Clock) -> None:
        self._members = tuple(members)
        self._healths = healths
        self._clock = clock
        self._told: dict[str, tuple[int, int]] = {}
        self._log = structlog.get_logger()

    def note(self, lease: Lease, spent: SpentMoney) -> None:
        """From now on, for a minute: of the key of `lease`, and of all that the same money pays for."""
        now = self._clock.monotonic_ns()
        if lease.member is not None:
            self._healths[lease.member].unfunded_until = now + NS_PER_MINUTE
        for each in self._members:
            if paid_alike(each.member, lease, spent.payer):
                each.health.unfunded_until = now + NS_PER_MINUTE
        self._tell(lease, spent, now)

    def _tell(self, lease: Lease, spent: SpentMoney, now: int) -> None:
        version, told = self._told.get(lease.key_ref, (0, 0))
        if version == lease.key_version and now - told < NS_PER_MINUTE:
            return
        self._told[lease.key_ref] = lease.key_version, now
        self._log.error(
            "key_out_of_money",
            key_ref=lease.key_ref,
            key_version=lease.key_version,
            upstream_code=spent.code,
            remedy="Raise the limit in OpenAI's dashboard (Limits, Billing), or wait for the month's end.",
        )
