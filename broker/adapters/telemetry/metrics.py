"""Prometheus metrics, counted from the records themselves, so that they can never disagree with the log.

Knows: the record's closed vocabularies. Must not know: callers: no label holds a user, a subject, a token
or a model name that a caller made up.
"""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from broker.model.record import Receipt, Record, RecordType
from broker.ports import Ledger

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
_MICRO = 1e-6


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "broker_records_total",
            "Audit records made durable",
            ["type", "operation", "outcome"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "broker_tokens_total", "Tokens as upstream counted them", ["direction"], registry=self.registry
        )
        self._total = Histogram(
            "broker_call_seconds",
            "From the call's arrival to its outcome",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._policy = Histogram(
            "broker_policy_seconds", "Policy decisions of calls", buckets=_SECONDS, registry=self.registry
        )
        self._alerts = Counter(
            "broker_alerts_total", "Calls that policy wants people told of", ["rule"], registry=self.registry
        )
        self._kept: dict[tuple[str, str, str], Counter] = {}
        self._in, self._out = self._tokens.labels("in"), self._tokens.labels("out")
        self._durations: dict[str, Histogram] = {}
        self.policy_refused = Gauge(
            "broker_policy_refused",
            "1 while newer policies than those that rule are refused",
            registry=self.registry,
        )
        self.ready = Gauge("broker_ready", "1 while calls can be served", registry=self.registry)

    def count(self, record: Record) -> None:
        """Counts one durable record."""
        operation = record.operation or "none"
        labels = (record.type.value, operation, _outcome(record))
        counter = self._kept.get(labels)
        if counter is None:
            counter = self._kept[labels] = self._records.labels(*labels)
        counter.inc()
        if record.alert is not None:
            self._alerts.labels(record.rule or "none").inc()
        if record.type is RecordType.OUTCOME:
            self._time(operation, record)
            self._in.inc(record.tokens_in or 0)
            self._out.inc(record.tokens_out or 0)

    def _time(self, operation: str, record: Record) -> None:
        duration = self._durations.get(operation)
        if duration is None:
            duration = self._durations[operation] = self._total.labels(operation)
        if record.t_total_us is not None:
            duration.observe(record.t_total_us * _MICRO)
        if record.t_policy_us is not None:
            self._policy.observe(record.t_policy_us * _MICRO)

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
