"""Requests a second, latency and CPU of every lane, in interleaved rounds. Knows no gateway by name.

Each round visits every lane once, beginning with another lane each time: what else the machine does
meanwhile hits all alike. Figures are medians over rounds; ratios are medians of each round's ratio.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .deployment import Deployment, Shape
from .install import say
from .loadgen import Measured, Plan, measure
from .target import Lane

Figure = Callable[[Measured], float]


@dataclass(frozen=True, slots=True)
class Effort:
    """`seconds` for each lane, shape and number of connections, split into `rounds`."""

    seconds: float
    rounds: int
    connections: tuple[int, ...]
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One place in the results: which lane, under which load."""

    shape: Shape
    connections: int
    lane: str


@dataclass(frozen=True, slots=True)
class Results:
    """Every round of every cell, in the order of the rounds."""

    rounds: dict[Cell, list[Measured]]

    def median(self, cell: Cell, figure: Figure) -> float:
        """The median over rounds of one figure. Raises KeyError for a cell that was not measured."""
        return statistics.median(figure(each) for each in self.rounds[cell])

    def ratio(self, over: Cell, under: Cell, figure: Figure) -> float | None:
        """The median over rounds of `over`/`under`, each taken in one round; None if either is missing."""
        if over not in self.rounds or under not in self.rounds:
            return None
        pairs = zip(self.rounds[over], self.rounds[under], strict=True)
        return statistics.median(figure(one) / figure(other) for one, other in pairs)

    def errors(self, lane: str) -> int:
        """Calls of this lane that failed, in all."""
        return sum(
            each.errors for cell, rounds in self.rounds.items() if cell.lane == lane for each in rounds
        )


def rate(measured: Measured) -> float:
    """Finished calls a second."""
    return measured.rate


def p50(measured: Measured) -> float:
    """Median latency, microseconds."""
    return measured.latency.p50_us if measured.latency else 0.0


def p99(measured: Measured) -> float:
    """99th percentile of latency, microseconds."""
    return measured.latency.p99_us if measured.latency else 0.0


def run(scene: Deployment, lanes: Sequence[Lane], effort: Effort) -> Results:
    """Measures everything. Raises BenchError as soon as one lane cannot be measured."""
    results = Results({})
    for shape in effort.shapes:
        scene.upstream.shape(events=shape.events, delay_ms=0)
        for connections in effort.connections:
            say(f"measuring {shape}, {connections} connections: {effort.rounds} rounds of {len(lanes)} lanes")
            plan = Plan(shape, connections, effort.seconds / effort.rounds)
            for number in range(effort.rounds):
                _round(scene, _rotated(lanes, number), plan, results)
    return results


def _round(scene: Deployment, lanes: Sequence[Lane], plan: Plan, results: Results) -> None:
    for lane in lanes:
        cell = Cell(plan.shape, plan.connections, lane.name)
        results.rounds.setdefault(cell, []).append(measure(scene, lane, plan))


def _rotated(lanes: Sequence[Lane], by: int) -> Sequence[Lane]:
    start = by % len(lanes)
    return [*lanes[start:], *lanes[:start]]
