"""Runs the load generator once and reads what it measured. Knows its flags and its report."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from .deployment import Deployment, Shape
from .errors import BenchError
from .target import Lane

GRACE_SECONDS = 120.0
BEGIN = "begin\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """How hard, how long. `requests` 0: as many as fit into `seconds`; `rate` 0: each connection calls again
    at once, else so many calls arrive in a second, whatever became of those before.
    """

    shape: Shape
    connections: int
    seconds: float
    requests: int = 0
    warmup: int = 1
    rate: float = 0.0

    def arguments(self) -> list[str]:
        """As the load generator takes them."""
        numbers = ["--connections", str(self.connections), "--duration", f"{self.seconds}s"]
        numbers += ["--requests", str(self.requests), "--warmup", str(self.warmup), "--rate", str(self.rate)]
        return numbers + (["--stream"] if self.shape.streamed else [])


@dataclass(frozen=True, slots=True)
class Spread:
    """Microseconds."""

    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One load's result. CPU figures are seconds used while it ran: by each program of the gateway, by the
    upstream, by the load generator; the last two have one core each. `refused` had too much to do: HTTP 503,
    or RESOURCE_EXHAUSTED.
    """

    requests: int
    refused: int
    errors: int
    first_error: str
    seconds: float
    rate: float
    events: int
    latency: Spread | None
    first_event: Spread | None
    first_event_after_sent: Spread | None
    refusals: Spread | None
    gateway_cpu: Mapping[str, float]
    upstream_cpu: float
    load_cpu: float

    @property
    def cpu_us_a_call(self) -> float:
        """The gateway's CPU time for one call."""
        return sum(self.cpu_us_by_program.values())

    @property
    def cpu_us_by_program(self) -> Mapping[str, float]:
        """The same, by what the gateway's processes run."""
        calls = max(1, self.requests + self.refused + self.errors)
        return {name: 1e6 * used / calls for name, used in self.gateway_cpu.items()}


@dataclass(frozen=True, slots=True)
class _Cpu:
    """Two readings are taken: when the measurement begins and when it has ended."""

    gateway: Mapping[str, float]
    upstream: float

    def since(self, before: _Cpu) -> _Cpu:
        """What was used in between; a process that has ended meanwhile counts nothing."""
        used = {name: max(0.0, now - before.gateway.get(name, 0.0)) for name, now in self.gateway.items()}
        return _Cpu(used, self.upstream - before.upstream)


def measure(scene: Deployment, lane: Lane, plan: Plan) -> Measured:
    """One load against one lane. Raises BenchError when it could not run, or when every call failed."""
    lane.before_round()
    argv = [str(scene.binary), *lane.target.arguments(plan.shape), *plan.arguments()]
    complaints = scene.work / "load.log"
    with (
        complaints.open("w+") as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True) as load,
    ):
        try:
            assert load.stdout is not None
            began = load.stdout.readline() == BEGIN
            before = _cpu(scene, lane)
            output, _ = load.communicate(timeout=plan.seconds + GRACE_SECONDS)
            after = _cpu(scene, lane)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{lane.name}: the load did not end; see {complaints}") from None
        finally:
            load.kill()
    if not began or load.returncode != 0:
        raise BenchError(f"{lane.name} {plan.shape}: {complaints.read_text().strip()}{_log_of(lane)}")
    return _read(output, lane, after.since(before))


def _cpu(scene: Deployment, lane: Lane) -> _Cpu:
    upstream = sum(scene.upstream.child.cpu_seconds().values())
    return _Cpu(lane.child.cpu_seconds() if lane.child else {}, upstream)


def _log_of(lane: Lane) -> str:
    return f"\nIts log:\n{lane.child.log_tail()}" if lane.child else ""


def _read(output: str, lane: Lane, used: _Cpu) -> Measured:
    raw = json.loads(output)
    if not raw["requests"] + raw["refused"]:
        raise BenchError(
            f"{lane.name}: every call failed, the first with: {raw.get('first_error')}{_log_of(lane)}"
        )
    return Measured(
        requests=raw["requests"],
        refused=raw["refused"],
        errors=raw["errors"],
        first_error=raw.get("first_error", ""),
        seconds=raw["seconds"],
        rate=raw["requests_per_second"],
        events=raw["events"],
        latency=_spread(raw.get("latency")),
        first_event=_spread(raw.get("first_event")),
        first_event_after_sent=_spread(raw.get("first_event_after_sent")),
        refusals=_spread(raw.get("refusals")),
        gateway_cpu=used.gateway,
        upstream_cpu=used.upstream,
        load_cpu=raw["cpu_seconds"],
    )


def _spread(raw: dict[str, float] | None) -> Spread | None:
    return None if raw is None else Spread(**raw)
