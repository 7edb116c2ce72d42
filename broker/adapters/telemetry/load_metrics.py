"""What becomes of requests at the listeners: how long they wait for their turn, and which are refused.

Knows: Prometheus. Must not know: who asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.adapters.telemetry.metrics import Spread

_BOUNDS = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoadMetrics(Collector):
    """Implements `listeners.overload.LoadObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waits = Spread(_BOUNDS)
        self._refused: Counter[str] = Counter()
        self._waiting = Gauge(
            "broker_requests_waiting", "Requests that wait for their turn", registry=registry
        )
        self._under_way = Gauge(
            "broker_requests_under_way", "Requests begun and not ended", registry=registry
        )
        registry.register(self)

    def watch(self, waiting: Callable[[], int], under_way: Callable[[], int]) -> None:
        """From now on gauges say how many requests there are."""
        self._waiting.set_function(lambda: float(waiting()))
        self._under_way.set_function(lambda: float(under_way()))

    def begun(self, waited_seconds: float) -> None:
        self._waits.add(waited_seconds)

    def refused(self, reason: str) -> None:
        self._refused[reason] += 1

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        waits = HistogramMetricFamily(
            "broker_request_wait_seconds", "How long requests waited for their turn", labels=[]
        )
        self._waits.onto(waits)
        refused = CounterMetricFamily(
            "broker_requests_overloaded",
            "Requests refused because there was too much to do",
            labels=["reason"],
        )
        for reason, number in self._refused.items():
            refused.add_metric([reason], number)
        yield from (waits, refused)
