"""Handshakes that a listener rejected: counted by reason, and told without flooding the log.

Knows: metrics and log lines. Must not know: TLS, who the client was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

TOLD_EVERY_SECONDS = 60
_REMEDY = (
    "The client's certificate must come from a CA in tls.client_ca, be in time, and be as "
    "deploy/README.md says, Certificates; `broker doctor` looks at the CAs."
)


class RejectedHandshakes:
    """`of(listener)` is called with the reason, in the TLS library's words, each time. Each reason is told at
    once, then at most once a minute with how often it came in between.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._count = Metric(
            "broker_handshakes_rejected",
            "TLS handshakes that failed; over gRPC also one that ended early or took too long",
            ["listener", "reason"],
            registry=registry,
        )
        self._clock = clock
        self._told_ns: dict[tuple[str, str], int] = {}
        self._since: Counter[tuple[str, str]] = Counter()
        self._log = structlog.get_logger()

    def of(self, listener: str) -> Callable[[str], None]:
        """What is called with each reason of this listener's."""
        return partial(self._rejected, listener)

    def _rejected(self, listener: str, reason: str) -> None:
        self._count.labels(listener, reason).inc()
        which = listener, reason
        self._since[which] += 1
        now = self._clock.monotonic_ns()
        last = self._told_ns.get(which)
        if last is not None and now - last < TOLD_EVERY_SECONDS * NS_PER_SECOND:
            return
        self._told_ns[which] = now
        times = self._since.pop(which)
        self._log.warning("handshake_rejected", listener=listener, reason=reason, times=times, remedy=_REMEDY)
