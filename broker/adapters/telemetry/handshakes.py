"""Handshakes that a listener rejected: counted by reason, and told without flooding the log.

Knows: metrics and log lines. Must not know: TLS, who the client was.
"""

from __future__ import annotations

from collections import Counter

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from broker.ports import Clock

TOLD_EVERY_SECONDS = 60
_NS = 1_000_000_000
_REMEDY = (
    "The client's certificate must come from a CA in tls.client_ca, be in time, and be as the README says; "
    "`broker doctor` looks at the CAs."
)


class RejectedHandshakes:
    """Called with the reason, in the TLS library's words, each time. Each reason is told at once, then at
    most once a minute with how often it came in between.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._count = Metric(
            "broker_handshakes_rejected",
            "TLS handshakes of the HTTPS listener that failed",
            ["reason"],
            registry=registry,
        )
        self._clock = clock
        self._told_ns: dict[str, int] = {}
        self._since: Counter[str] = Counter()
        self._log = structlog.get_logger()

    def __call__(self, reason: str) -> None:
        self._count.labels(reason).inc()
        self._since[reason] += 1
        now = self._clock.monotonic_ns()
        last = self._told_ns.get(reason)
        if last is not None and now - last < TOLD_EVERY_SECONDS * _NS:
            return
        self._told_ns[reason] = now
        times = self._since.pop(reason)
        self._log.warning("handshake rejected", listener="https", reason=reason, times=times, remedy=_REMEDY)
