"""Results as text for people and as JSON for programs. Measures and judges nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

from .claims import Claim
from .loadgen import Measured
from .throughput import Cell, Results, p50, p99, rate

BASES = ("direct", "envoy", "ferrogw", "litellm", "portkey")
BUSY = 0.9  # of its one core: above it, load generator or upstream may have been the limit


def render(results: Results) -> str:
    """One table for each shape and number of connections."""
    groups = dict.fromkeys((cell.shape, cell.connections) for cell in results.rounds)
    lanes = list(dict.fromkeys(cell.lane for cell in results.rounds))
    return "\n\n".join(
        "\n".join(_table(results, [Cell(shape, connections, lane) for lane in lanes]))
        for shape, connections in groups
    )


def _table(results: Results, cells: Sequence[Cell]) -> Iterator[str]:
    bases = [base for base in BASES if any(cell.lane == base for cell in cells)]
    yield f"{cells[0].shape}, {_count(cells[0].connections, 'connection')}"
    yield (
        f"  {'':<14}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs/call':>12}{'events':>8}{'errors':>8}"
        f"{'load':>6}{'upstr.':>7}" + "".join(f"{'× ' + base:>11}" for base in bases)
    )
    for cell in cells:
        yield _row(results, cell, bases)
    for cell in cells:
        yield from _programs(results, cell)


def _row(results: Results, cell: Cell, bases: Sequence[str]) -> str:
    ratios = [results.ratio(cell, Cell(cell.shape, cell.connections, base), rate) for base in bases]
    return (
        f"  {cell.lane:<14}{results.median(cell, rate):>11,.0f}"
        f"{results.median(cell, p50) / 1000:>9.2f}{results.median(cell, p99) / 1000:>9.2f}"
        f"{_cpu(results, cell):>12}"
        f"{results.median(cell, lambda m: m.events / m.requests):>8.0f}"
        f"{sum(m.errors for m in results.rounds[cell]):>8}"
        f"{_busy(results.median(cell, _load_busy)):>6}{_busy(results.median(cell, _upstream_busy)):>7}"
        + "".join(f"{ratio:>11.3g}" for ratio in ratios if ratio is not None)
    )


def _programs(results: Results, cell: Cell) -> Iterator[str]:
    """Where a gateway is several programs: what each of them takes."""
    names = dict.fromkeys(name for each in results.rounds[cell] for name in each.cpu_us_by_program)
    used = {name: results.median(cell, partial(_of_program, name)) for name in names}
    spent = [f"{name} {each:,.0f}" for name, each in used.items() if each >= 0.5]
    if len(spent) > 1:
        yield f"  {cell.lane}, CPU µs/call: {', '.join(spent)}"


def _of_program(name: str, measured: Measured) -> float:
    return measured.cpu_us_by_program.get(name, 0.0)


def _cpu(results: Results, cell: Cell) -> str:
    microseconds = results.median(cell, lambda measured: measured.cpu_us_a_call)
    return f"{microseconds:,.0f}" if microseconds else "-"


def _load_busy(measured: Measured) -> float:
    return measured.load_cpu / measured.seconds


def _upstream_busy(measured: Measured) -> float:
    return measured.upstream_cpu / measured.seconds


def _busy(share: float) -> str:
    return f"{100 * share:.0f}%{'!' if share > BUSY else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def legend() -> str:
    """What the columns mean."""
    return (
        "events: events in a stream. load, upstr.: share of its one core that the load generator and\n"
        f"the upstream used; `!` above {100 * BUSY:.0f}%, where they may have been the limit. × name:\n"
        "requests/s, as a multiple of that lane's. Medians over interleaved rounds; "
        f"{_count(os.cpu_count() or 1, 'core')} shared by all."
    )


def document(results: Results, claims: Sequence[Claim], notes: dict[str, str]) -> dict[str, object]:
    """Everything measured, round by round, with the verdicts."""
    return {
        "cores": os.cpu_count(),
        "lanes": notes,
        "rounds": [asdict(cell) | asdict(each) for cell, rounds in results.rounds.items() for each in rounds],
        "claims": [asdict(claim) | {"holds": claim.holds} for claim in claims],
    }
