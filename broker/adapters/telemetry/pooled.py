"""How the keys of each pool stand, as a metric.

Knows: pools' own count of their keys. Must not know: keys. No label holds anything that a caller made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from broker.model.pool import PoolStats


class PooledKeysMetric(Collector):
    """Counted when asked: a cooldown ends without anybody's saying so."""

    def __init__(self, stats: Callable[[], tuple[PoolStats, ...]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For the registry."""
        keys = GaugeMetricFamily(
            "broker_keys",
            "Keys of each pool: usable, in cooldown for some model, quarantined",
            labels=["credential", "state"],
        )
        for pool in self._stats():
            for state in ("usable", "cooldown", "quarantined"):
                keys.add_metric([pool.credential, state], getattr(pool, state))
        yield keys
