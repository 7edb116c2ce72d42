"""Prometheus metrics, counted from the records themselves, so that they can never disagree with the log.

Knows: the record's closed vocabularies. Must not know: callers: no label holds a user, a subject, a token
or a model name that a caller made up.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from broker.model.record import Receipt, Record, RecordType
from broker.model.secret import Lease
from broker.ports import Clock, KeyVault, Ledger

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
_LEASE_SECONDS = (0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.1)
_MICRO = 1e-6
_NANO = 1e-9


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
        self.lease = Histogram(
            "broker_lease_seconds",
            "Leases of a key, refused ones too",
            buckets=_LEASE_SECONDS,
            registry=self.registry,
        )
        self._ready = Gauge("broker_ready", "1 while calls can be served", registry=self.registry)
        self._keys_up = Gauge(
            "broker_key_store_up", "1 while the key store is well; held keys serve on", registry=self.registry
        )

    def watch(self, unready: Callable[[], str], trouble: Callable[[], str]) -> None:
        """From now on the gauges say whether calls can be served, and how the key store is."""
        self._ready.set_function(lambda: float(not unready()))
        self._keys_up.set_function(lambda: float(not trouble()))

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


class MeteredKeys:
    """A KeyVault that tells how long another one's leases took."""

    def __init__(self, keys: KeyVault, metrics: Metrics, clock: Clock) -> None:
        self._keys = keys
        self._lease = metrics.lease
        self._clock = clock

    async def lease(self, credential: str) -> Lease:
        """See ports.KeyVault."""
        began = self._clock.monotonic_ns()
        try:
            return await self._keys.lease(credential)
        finally:
            self._lease.observe((self._clock.monotonic_ns() - began) * _NANO)


def _outcome(record: Record) -> str:
    if record.type is RecordType.SHADOW:
        return "agreed" if record.enforced == record.decision else f"{record.enforced}_to_{record.decision}"
    if record.type is RecordType.OUTCOME:
        return record.error or f"{(record.status or 0) // 100}xx"
    return record.reason or "ok"
