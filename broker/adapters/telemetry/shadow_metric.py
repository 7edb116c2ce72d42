"""What became of the decisions that a candidate was asked about, those that no record tells of included.

Knows: Prometheus. Must not know: calls, policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class ShadowMetric(Collector):
    """Counted when asked; nothing where there is no candidate."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For the registry."""
        counts = self._counts()
        if counts:
            family = CounterMetricFamily(
                "broker_shadow_decisions", "Decisions that the candidate was asked about", labels=["outcome"]
            )
            for outcome, number in counts.items():
                family.add_metric([outcome], number)
            yield family
