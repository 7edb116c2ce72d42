"""Prometheus metrics, counted from the records themselves, so that they can never disagree with the log.

Knows: the record's closed vocabularies. Must not know: callers: no label holds a user, a subject, a token
or a model name that a caller made up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from broker.model.charge import Charge, Reservation, Taken
from broker.model.record import Receipt, Record, RecordType
from broker.model.secret import Lease
from broker.model.units import NS_PER_SECOND, US_PER_SECOND
from broker.ports import CallLedger, Clock, CredentialSource

Labels = tuple[str, ...]

_CALL_BOUNDS = (
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
    600.0,
)
_LEASE_BOUNDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.1)
_SERIES = ("type", "operation", "outcome")
_IN, _OUT = ("in",), ("out",)


class Spread:
    """How often each duration occurred, and their sum, in seconds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float] = _CALL_BOUNDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def onto(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """As Prometheus counts: each bucket holds the smaller ones, too."""
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        family.add_metric(labels, [*zip(bounds, accumulate(self._counts), strict=True)], self._sum)


class Metrics(Collector):
    """The metrics of one process, in a registry of their own. Counting happens on one event loop; a plain sum
    for each series costs a tenth of a thread-safe one, and is read when somebody asks.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records: defaultdict[Labels, int] = defaultdict(int)
        self._alerts: defaultdict[Labels, int] = defaultdict(int)
        self._tokens: dict[Labels, int] = {_IN: 0, _OUT: 0}
        self._calls: defaultdict[str, Spread] = defaultdict(Spread)
        self._policy = Spread()
        self.leases = Spread(_LEASE_BOUNDS)
        self._ready = Gauge("broker_ready", "1 while calls can be served", registry=self.registry)
        self._free = Gauge(
            "broker_log_free_bytes", "Space left on the log's disk, in bytes", registry=self.registry
        )
        self._keys_up = Gauge(
            "broker_key_store_up", "1 while the key store is well; held keys serve on", registry=self.registry
        )
        self._refused = Gauge(
            "broker_policy_refused",
            "1 while newer policies than those that rule are refused",
            registry=self.registry,
        )
        self._unsliced = Gauge(
            "broker_policy_unsliced",
            "1 while the policies that rule are evaluated in a slower form (adr/0062)",
            registry=self.registry,
        )
        self.registry.register(self)

    def watch_space(self, free_bytes: Callable[[], int]) -> None:
        """From now on a gauge says how much space is left for the log."""
        self._free.set_function(lambda: float(free_bytes()))

    def watch(
        self,
        unready: Callable[[], str],
        trouble: Callable[[], str],
        refused: Callable[[], str],
        unsliced: Callable[[], str],
    ) -> None:
        """From now on the gauges say whether calls can be served, and how the key store and the policies are:
        each function gives what is wrong, or an empty string.
        """
        self._ready.set_function(lambda: float(not unready()))
        self._keys_up.set_function(lambda: float(not trouble()))
        self._refused.set_function(lambda: float(bool(refused())))
        self._unsliced.set_function(lambda: float(bool(unsliced())))

    def count(self, record: Record) -> None:
        """Counts one durable record."""
        operation = record.operation or "none"
        self._records[record.type, operation, _outcome(record)] += record.count or 1
        if record.alert is not None:
            self._alerts[record.rule or "none",] += 1
        if record.type is RecordType.OUTCOME:
            self._tokens[_IN] += record.tokens_in or 0
            self._tokens[_OUT] += record.tokens_out or 0
            if record.t_total_us is not None:
                self._calls[operation].add(record.t_total_us / US_PER_SECOND)
            if record.t_policy_us is not None:
                self._policy.add(record.t_policy_us / US_PER_SECOND)

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return sum(n for (kind, *_), n in self._records.items() if kind == RecordType.OUTCOME)

    def collect(self) -> Iterator[Metric]:
        """For the registry: everything counted so far."""
        yield _counted("records", "Audit records made durable", _SERIES, self._records)
        yield _counted("tokens", "Tokens as upstream counted them", ("direction",), self._tokens)
        yield _counted("alerts", "Calls that policy wants people told of", ("rule",), self._alerts)
        calls = HistogramMetricFamily(
            "broker_call_seconds", "From the call's arrival to its outcome", labels=["operation"]
        )
        for operation, spread in self._calls.items():
            spread.onto(calls, [operation])
        policy = HistogramMetricFamily("broker_policy_seconds", "Policy decisions of calls", labels=[])
        self._policy.onto(policy)
        leases = HistogramMetricFamily("broker_lease_seconds", "Leases of a key, refused ones too", labels=[])
        self.leases.onto(leases)
        yield from (calls, policy, leases)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class MeteredLedger:
    """A CallLedger that counts what another one made durable, and tells of alerts."""

    def __init__(self, ledger: CallLedger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._log = structlog.get_logger()

    async def append(self, record: Record) -> Receipt:
        """See ports.Ledger."""
        receipt = await self._ledger.append(record)
        self._count(record)
        return receipt

    async def reserve(self, intent: Record, charges: Sequence[Charge]) -> Reservation:
        """See ports.CallLedger."""
        reservation = await self._ledger.reserve(intent, charges)
        self._count(intent)
        return reservation

    async def settle(self, outcome: Record, changes: Sequence[Taken]) -> Receipt:
        """See ports.CallLedger."""
        receipt = await self._ledger.settle(outcome, changes)
        self._count(outcome)
        return receipt

    def _count(self, record: Record) -> None:
        self._metrics.count(record)
        if record.alert is not None:
            self._log.warning("alert", alert=record.alert, rule=record.rule, call_id=record.call_id)


class MeteredKeys:
    """A CredentialSource that tells how long another one's leases took."""

    def __init__(self, keys: CredentialSource, metrics: Metrics, clock: Clock) -> None:
        self._keys = keys
        self._leases = metrics.leases
        self._clock = clock

    async def lease(self, credential: str) -> Lease:
        """See ports.CredentialSource."""
        began = self._clock.monotonic_ns()
        try:
            return await self._keys.lease(credential)
        finally:
            self._leases.add((self._clock.monotonic_ns() - began) / NS_PER_SECOND)


def _counted(
    name: str, meaning: str, labels: Sequence[str], series: Mapping[Labels, int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"broker_{name}", meaning, labels=labels)
    for values, number in series.items():
        family.add_metric(values, number)
    return family


def _outcome(record: Record) -> str:
    if record.type is RecordType.SHADOW:
        return "agreed" if record.enforced == record.decision else f"{record.enforced}_to_{record.decision}"
    if record.type is RecordType.OUTCOME:
        return record.error or f"{(record.status or 0) // 100}xx"
    return record.reason or "ok"
