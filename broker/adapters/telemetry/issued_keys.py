"""Figures of short-lived keys: whether they come, when they end, whether something stands in for them.

Knows: Prometheus. Must not know: keys; the labels are names of the configuration and a few causes.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class IssuedKeyMetrics:
    """Implements adapters.shortlived.Watch."""

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
