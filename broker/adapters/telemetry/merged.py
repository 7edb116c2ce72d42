"""The metrics of several processes as those of one broker.

Knows the Prometheus text format, and how each kind of figure of several processes is one. Must not know whose
they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

_LEAST = frozenset({"broker_ready", "broker_key_store_up", "broker_log_free_bytes"})
"""Gauges that are well only where all processes are; of the others the greatest tells."""
_TOGETHER = frozenset({"broker_requests_waiting", "broker_requests_under_way"})
"""Gauges of what each process has of its own."""
_ADDED = frozenset({"counter", "histogram", "summary"})


class _Series(NamedTuple):
    name: str
    labels: tuple[tuple[str, str], ...]


class DepartedMetrics:
    """What processes had counted that are gone: what only grows must not shrink with them."""

    def __init__(self) -> None:
        self.text = b""

    def add(self, text: bytes) -> None:
        """The last that a process told."""
        self.text = _written(family for family in merged([self.text, text]) if family.type in _ADDED)


def merged(texts: Iterable[bytes]) -> list[Metric]:
    """Each metric once: counters and histograms are sums."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[_Series, float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text.decode()):
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            series = values.setdefault(family.name, {})
            for sample in family.samples:
                one = _Series(sample.name, tuple(sorted(sample.labels.items())))
                if not sample.name.endswith("_created"):
                    series[one] = _joined(known, series.get(one), sample.value)
    for name, family in families.items():
        for (sample_name, labels), value in values[name].items():
            family.add_sample(sample_name, dict(labels), value)
    return list(families.values())


def merged_text(texts: Iterable[bytes]) -> bytes:
    """The same in the Prometheus text format."""
    return _written(merged(texts))


def _joined(family: Metric, known: float | None, value: float) -> float:
    if known is None:
        return value
    if family.type in _ADDED or family.name in _TOGETHER:
        return known + value
    return min(known, value) if family.name in _LEAST else max(known, value)


def _written(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Given(list(families)))
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
