"""Figures of keys: whether ephemeral ones come, when they end, what stands in for them; how pools stand.

Knows: Prometheus. Must not know: keys; the labels are names of the configuration and a few causes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from broker.model.pool import PoolStats


class IssuedKeyMetrics:
    """Implements `adapters.ephemeral_keys.IssuerObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._issued = Counter(
            "broker_keys_issued_total",
            "Short-lived keys and tokens asked for",
            ["credential", "outcome"],
            registry=registry,
        )
        self._ends = Gauge(
            "broker_key_ends_seconds",
            "When the newest short-lived key ends (unix time)",
            ["credential"],
            registry=registry,
        )
        self._fallback = Gauge(
            "broker_key_fallback",
            "1 while calls get a stored key instead of an access token",
            ["credential"],
            registry=registry,
        )
        self._fallen = Counter(
            "broker_key_fallback_leases_total",
            "Calls that got a stored key instead of an access token",
            ["credential"],
            registry=registry,
        )

    def issued(self, credential: str, ends_at: float) -> None:
        self._issued.labels(credential, "ok").inc()
        self._ends.labels(credential).set(ends_at)

    def not_issued(self, credential: str, cause: str) -> None:
        self._issued.labels(credential, cause).inc()

    def fell_back(self, credential: str) -> None:
        self._fallback.labels(credential).set(1)
        self._fallen.labels(credential).inc()

    def came_back(self, credential: str) -> None:
        self._fallback.labels(credential).set(0)


class PooledKeysMetric(Collector):
    """Counted when asked: a cooldown ends without anybody's saying so."""

    def __init__(self, stats: Callable[[], tuple[PoolStats, ...]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For the registry."""
        keys = GaugeMetricFamily(
            "broker_keys",
            "Keys of each pool: usable, in cooldown for some model, quarantined, unfunded",
            labels=["credential", "state"],
        )
        for pool in self._stats():
            for state in ("usable", "cooldown", "quarantined", "unfunded"):
                keys.add_metric([pool.credential, state], getattr(pool, state))
        yield keys
