"""The figures that must hold, judged on one run's results. Knows lane names; measures nothing."""

from __future__ import annotations

from dataclasses import dataclass

from .deployment import Shape
from .throughput import Cell, Figure, Results, p50, rate

HTTPS, GRPC = "broker HTTPS", "broker gRPC"
HTTPS_2, GRPC_2 = "broker-2 HTTPS", "broker-2 gRPC"
MANY, ONE = 16, 1


@dataclass(frozen=True, slots=True)
class Claim:
    """`value` must be at least (or at most) `bound`; None: this run did not measure it."""

    text: str
    value: float | None
    bound: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        """False also where it was not measured."""
        if self.value is None:
            return False
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        """PASS, FAIL or NOT MEASURED, with the figure."""
        sign = "≥" if self.at_least else "≤"
        if self.value is None:
            return f"NOT MEASURED  {self.text} {sign} {self.bound:g}"
        return f"{'PASS' if self.holds else 'FAIL'}  {self.text}: {self.value:.2f} ({sign} {self.bound:g})"


def judge(results: Results) -> list[Claim]:
    """All throughput claims, in the issue's order."""
    broker = _unary(HTTPS, MANY)
    return [
        _at_least(
            results, "HTTPS requests/s, × Portkey, 16 connections", broker, _unary("portkey", MANY), 1.5
        ),
        _at_least(
            results, "HTTPS requests/s, × LiteLLM, 16 connections", broker, _unary("litellm", MANY), 25
        ),
        Claim(
            "HTTPS p50, × Envoy's bare mTLS, 1 connection",
            results.ratio(_unary(HTTPS, ONE), _unary("envoy", ONE), p50),
            4,
            at_least=False,
        ),
        _at_least(
            results,
            "gRPC requests/s, × the broker's own HTTPS, 16 connections",
            _unary(GRPC, MANY),
            broker,
            0.4,
        ),
        *_of_two_workers(results),
        *(_no_errors(results, lane) for lane in (HTTPS, GRPC, HTTPS_2, GRPC_2)),
    ]


def _of_two_workers(results: Results) -> list[Claim]:
    """With two workers on two cores, 16 connections."""
    unary, streamed = _unary(HTTPS_2, MANY), Cell(Shape.STREAM, MANY, HTTPS_2)
    of_portkey = Cell(Shape.STREAM, MANY, "portkey")
    return [
        _at_least(results, "two workers, HTTPS requests/s, × Portkey", unary, _unary("portkey", MANY), 3),
        _at_least(results, "two workers, HTTPS requests/s, × ferrogw", unary, _unary("ferrogw", MANY), 0.5),
        _cpu(results, "two workers, CPU a call, × Envoy's bare mTLS", unary, _unary("envoy", MANY), 6),
        _cpu(results, "two workers, CPU a call, × one", unary, _unary(HTTPS, MANY), 1.15),
        _at_least(results, "two workers, streams/s, × Portkey", streamed, of_portkey, 1.5),
    ]


def _cpu(results: Results, text: str, over: Cell, under: Cell, bound: float) -> Claim:
    found = results.ratio(over, under, lambda measured: measured.cpu_us_a_call)
    return Claim(text, found, bound, at_least=False)


def _at_least(
    results: Results, text: str, over: Cell, under: Cell, bound: float, figure: Figure = rate
) -> Claim:
    return Claim(text, results.ratio(over, under, figure), bound)


def _no_errors(results: Results, lane: str) -> Claim:
    measured = any(cell.lane == lane for cell in results.rounds)
    return Claim(
        f"{lane}: calls that failed", float(results.errors(lane)) if measured else None, 0, at_least=False
    )


def _unary(lane: str, connections: int) -> Cell:
    return Cell(Shape.UNARY, connections, lane)
