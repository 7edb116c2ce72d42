"""What becomes of calls where more come than can be served: `python -m tests.bench.overload [--seconds 60]`.

For each listener, in one run: the peak (a closed loop of 16 connections), then calls that arrive at 0.8, 2
and 5 times that rate however long others take, and beside them a quiet caller's 20 a second. Then what a
refusal costs, at a broker that refuses all but one call. Only the ratios mean something, and only on a
machine that does nothing else: the load and upstream need cores, too. Exit code 1: a bound does not hold.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from . import machine, memory
from .broker_gateway import Broker
from .claims import Claim
from .deployment import Deployment, Shape, running_upstream
from .install import build_load, say
from .loadgen import Measured, Plan, measure
from .target import Lane, nothing

ROOT = Path(__file__).parents[2]
COULD_NOT_RUN = 3
NOISY, QUIET = "explorer", "assistant"
QUIET_RATE = 20.0
BELOW, TWICE, FIVEFOLD = 0.8, 2.0, 5.0
PEAK_CONNECTIONS = 16
QUIET_CONNECTIONS = 20
HOLD_MS = 20_000.0
REFUSED_RATE = 1000.0
ROUND_SECONDS = 10.0
COUNTED_SECONDS = 12.0  # refusals are recorded as counts each 10 s


@dataclass(frozen=True, slots=True)
class Offered:
    """What a noisy caller's and a quiet one's calls met, offered so many times the peak; resident bytes after
    a third of the time and at its end.
    """

    times: float
    noisy: Measured
    quiet: Measured
    early: int
    late: int


@dataclass(frozen=True, slots=True)
class Found:
    """One listener's figures. CPU in microseconds, of all processes of the broker."""

    lane: str
    peak: Measured
    offered: tuple[Offered, ...]
    missing: int
    refusal_us: float

    def at(self, times: float) -> Offered:
        """What was measured at so many times the peak."""
        return next(each for each in self.offered if each.times == times)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each rate is offered, and over how many connections."""

    seconds: float
    connections: int


def main() -> int:
    options = _arguments()
    before = machine.described()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(COULD_NOT_RUN))  # unwinds: every child is stopped
    memory.raise_file_limit(options.connections)
    options.cache.mkdir(parents=True, exist_ok=True)
    binary = build_load(options.cache.resolve())
    effort = Effort(options.seconds, options.connections)
    found: list[Found] = []
    for which in range(2):
        with ExitStack() as running:
            work = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=options.cache)))
            upstream = running.enter_context(running_upstream(binary, work))
            found.append(
                _measured(Deployment(options.cache, work.resolve(), binary, upstream), which, effort)
            )
    claims = [claim for each in found for claim in judged(each)]
    print("\n".join(map(table, found)), "\n".join(claim.line() for claim in claims), sep="\n")
    print(f"\nbefore: {before}\nafter:  {machine.described()}")
    return 0 if all(claim.holds for claim in claims) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each rate")
    parser.add_argument("--connections", type=int, default=1000, help="of the noisy caller")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / ".tools" / "bench", help="where the load is built"
    )
    return parser.parse_args()


def _measured(scene: Deployment, which: int, effort: Effort) -> Found:
    with ExitStack() as running:
        broker = Broker(NOISY)
        broker.install(scene.cache)
        noisy, quiet = broker.start(scene, running)[which], broker.lanes_of(scene, QUIET)[which]
        measure(scene, noisy, Plan(Shape.UNARY, PEAK_CONNECTIONS, 2.0))
        say(f"{noisy.name}: the peak")
        peak = measure(scene, noisy, Plan(Shape.UNARY, PEAK_CONNECTIONS, ROUND_SECONDS))
        counted = broker.metrics()
        offered = tuple(
            _offered(scene, noisy, quiet, times, peak.rate, effort) for times in (BELOW, TWICE, FIVEFOLD)
        )
        time.sleep(COUNTED_SECONDS)
        missing = _missing(counted, broker.metrics(), offered, effort)
    return Found(noisy.name, peak, offered, missing, _refusal_us(scene, which))


def _offered(
    scene: Deployment, noisy: Lane, quiet: Lane, times: float, peak: float, effort: Effort
) -> Offered:
    say(f"{noisy.name}: {times:g} times the peak")
    noisy.before_round()
    quiet.before_round()
    seconds, child = effort.seconds, noisy.child
    assert child is not None
    loud = Plan(Shape.UNARY, effort.connections, seconds, rate=times * peak)
    calm = Plan(Shape.UNARY, QUIET_CONNECTIONS, seconds, rate=QUIET_RATE)
    with ThreadPoolExecutor(2) as both:
        other = both.submit(measure, scene, replace(quiet, before_round=nothing), calm)
        one = both.submit(measure, scene, replace(noisy, before_round=nothing), loud)
        time.sleep(seconds / 3)
        early = child.resident_bytes()
        return Offered(times, one.result(), other.result(), early, child.resident_bytes())


def _missing(
    before: dict[str, float], after: dict[str, float], offered: tuple[Offered, ...], effort: Effort
) -> int:
    """Records that calls should have left and have not: an intent and an outcome of each that was answered,
    and a count of each that was refused.
    """
    loads = [load for each in offered for load in (each.noisy, each.quiet)]
    warm = len(offered) * (effort.connections + QUIET_CONNECTIONS)
    answered = sum(load.requests for load in loads) + warm
    refused = sum(load.refused for load in loads)

    def grown(part: str) -> float:
        names = [name for name in after if name.startswith("broker_records_total") and part in name]
        return sum(after[name] - before.get(name, 0.0) for name in names)

    told = (grown('type="intent"'), grown('type="outcome"'), grown("OVERLOADED"))
    owed = (answered, answered, refused)
    return int(sum(max(0.0, due - there) for due, there in zip(owed, told, strict=True)))


def _refusal_us(scene: Deployment, which: int) -> float:
    """CPU of a call that is refused, where all are but one that is held."""
    say("what a refusal costs")
    work = scene.work / "refusing"
    work.mkdir()
    scene = replace(scene, work=work)
    with ExitStack() as running, ThreadPoolExecutor(1) as beside:
        broker = Broker(NOISY, environment={"BROKER__SERVER__MAX_UNDER_WAY": "2"})
        broker.install(scene.cache)
        lane = broker.start(scene, running)[which]
        scene.upstream.shape(events=2, delay_ms=HOLD_MS)
        held = beside.submit(measure, scene, lane, Plan(Shape.STREAM, 1, 1.0, requests=1, warmup=0))
        while not scene.upstream.open_streams():
            time.sleep(0.05)
        plan = Plan(Shape.UNARY, PEAK_CONNECTIONS, ROUND_SECONDS, warmup=0, rate=REFUSED_RATE)
        refused = measure(scene, replace(lane, before_round=nothing), plan)
        held.result()
    return refused.cpu_us_a_call


def table(found: Found) -> str:
    """Rates a second, latencies in milliseconds."""
    head = f"{found.lane:<14}{'answered':>10}{'refused':>9}{'p50':>8}{'p99':>8}"
    head += f"{'quiet p50':>11}{'p99':>8}{'MiB':>6}"
    rows = [_row("peak", found.peak)]
    rows += [
        f"{_row(f'× {each.times:g}', each.noisy)}{_ms(each.quiet, 50):>11.1f}{_ms(each.quiet, 99):>8.1f}"
        f"{each.late / 2**20:>6.0f}"
        for each in found.offered
    ]
    cost = f"  a call {found.peak.cpu_us_a_call:.0f} µs of CPU, a refusal {found.refusal_us:.0f}"
    return "\n".join([head, *rows, cost])


def _row(name: str, load: Measured) -> str:
    refused = load.refused / load.seconds
    return f"  {name:<12}{load.rate:>10.0f}{refused:>9.0f}{_ms(load, 50):>8.1f}{_ms(load, 99):>8.1f}"


def _ms(load: Measured, percent: int) -> float:
    spread = load.latency
    if spread is None:
        return float("inf")
    return (spread.p50_us if percent == 50 else spread.p99_us) / 1000


def judged(found: Found) -> list[Claim]:
    """The bounds of issue 14, 5."""
    lane, peak, below, fivefold = found.lane, found.peak.rate, found.at(BELOW), found.at(FIVEFOLD)
    twice = found.at(TWICE)
    pairs = [
        ("answered at 2 × the peak, of the peak", twice.noisy.rate / peak, 0.75, True),
        ("answered at 5 × the peak, of the peak", fivefold.noisy.rate / peak, 0.40, True),
        ("CPU of a refusal, of a call's", found.refusal_us / found.peak.cpu_us_a_call, 0.15, False),
        ("p99 of answers at 2 ×, × that at 0.8", _ms(twice.noisy, 99) / _ms(below.noisy, 99), 2.0, False),
        ("a quiet caller's p99 beside 2 ×, × that beside 0.8", _p99s(twice, below), 1.5, False),
        ("a quiet caller's calls refused", twice.quiet.refused + fivefold.quiet.refused, 0.0, False),
        ("memory at the end of 5 ×, × that after a third", fivefold.late / fivefold.early, 1.1, False),
        ("records missing", found.missing, 0.0, False),
    ]
    return [Claim(f"{lane}: {text}", value, bound, at_least) for text, value, bound, at_least in pairs]


def _p99s(one: Offered, other: Offered) -> float:
    return _ms(one.quiet, 99) / _ms(other.quiet, 99)


if __name__ == "__main__":
    sys.exit(main())
