"""Prometheus metrics, counted from the records themselves, so that they can never disagree with the log.

Knows: the record's closed vocabularies. Must not know: callers: no label holds a user, a subject, a token
or a model name that a caller made up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.model.record import Receipt, Record, RecordType
from broker.ports import Ledger

_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    600.0,
)
_MICRO = 1e-6


class Spread:
    """How often each duration occurred, and their sum, in seconds."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    def onto(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """As Prometheus counts: each bucket holds the smaller ones, too."""
        bounds = [*map(str, _SECONDS), "+Inf"]
        family.add_metric(labels, [*zip(bounds, accumulate(self._counts), strict=True)], self._sum)


class Metrics(Collector):
    """The metrics of one process, in a registry of their own. Counting happens on one event loop; a plain sum
    for each series costs a tenth of a thread-safe one, and is read when somebody asks.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._alerts: defaultdict[str, int] = defaultdict(int)
        self._tokens = {"in": 0, "out": 0}
        self._calls: defaultdict[str, Spread] = defaultdict(Spread)
        self._policy = Spread()
        self.ready = Gauge("broker_ready", "1 while calls can be served", registry=self.registry)
        self.registry.register(self)

    def count(self, record: Record) -> None:
        """Counts one durable record."""
        operation = record.operation or "none"
        self._records[record.type.value, operation, _outcome(record)] += 1
        if record.alert is not None:
            self._alerts[record.rule or "none"] += 1
        if record.type is RecordType.OUTCOME:
            self._tokens["in"] += record.tokens_in or 0
            self._tokens["out"] += record.tokens_out or 0
            if record.t_total_us is not None:
                self._calls[operation].add(record.t_total_us * _MICRO)
            if record.t_policy_us is not None:
                self._policy.add(record.t_policy_us * _MICRO)

    def collect(self) -> Iterator[Metric]:
        """For the registry: everything counted so far."""
        records = CounterMetricFamily(
            "broker_records", "Audit records made durable", labels=["type", "operation", "outcome"]
        )
        for series, number in self._records.items():
            records.add_metric(series, number)
        tokens = CounterMetricFamily("broker_tokens", "Tokens as upstream counted them", labels=["direction"])
        for direction, number in self._tokens.items():
            tokens.add_metric([direction], number)
        alerts = CounterMetricFamily(
            "broker_alerts", "Calls that policy wants people told of", labels=["rule"]
        )
        for rule, number in self._alerts.items():
            alerts.add_metric([rule], number)
        calls = HistogramMetricFamily(
            "broker_call_seconds", "From the call's arrival to its outcome", labels=["operation"]
        )
        for operation, spread in self._calls.items():
            spread.onto(calls, [operation])
        policy = HistogramMetricFamily("broker_policy_seconds", "Policy decisions of calls", labels=[])
        self._policy.onto(policy, [])
        yield from (records, tokens, alerts, calls, policy)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class MeteredLedger:
    """A Ledger that counts what another one made durable, and tells of alerts."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._log = structlog.get_logger()

    async def append(self, record: Record) -> Receipt:
        receipt = await self._ledger.append(record)
        self._metrics.count(record)
        if record.alert is not None:
            self._log.warning("alert", alert=record.alert, rule=record.rule, call_id=record.call_id)
        return receipt


def _outcome(record: Record) -> str:
    if record.type is RecordType.SHADOW:
        return "agreed" if record.enforced == record.decision else f"{record.enforced}_to_{record.decision}"
    if record.type is RecordType.OUTCOME:
        return record.error or f"{(record.status or 0) // 100}xx"
    return record.reason or "ok"
