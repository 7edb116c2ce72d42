"""How long after upstream sent it a stream's first event reaches the caller. Knows no gateway by name.

Upstream stamps each event with the machine's monotonic clock when it writes it; the load generator reads
the same clock when the event is whole. The pauses between events keep the machine idle, as the bound is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .claims import GRPC, HTTPS, Claim
from .deployment import Deployment, Shape
from .install import say
from .loadgen import Plan, Spread, measure
from .target import Lane

EVENTS = 5
PAUSE_MS = 10.0
STREAMS = 400
SECONDS = 60.0
BOUND_MS = 3.0


@dataclass(frozen=True, slots=True)
class FirstEvent:
    """One lane's delays."""

    lane: str
    streams: int
    errors: int
    delay: Spread


def run(scene: Deployment, lanes: Sequence[Lane], connections: int) -> list[FirstEvent]:
    """Measures each lane alone. Raises BenchError where one cannot be measured."""
    scene.upstream.shape(events=EVENTS, delay_ms=PAUSE_MS)
    return [_lane(scene, lane, connections) for lane in lanes]


def _lane(scene: Deployment, lane: Lane, connections: int) -> FirstEvent:
    say(f"measuring first events: {lane.name}")
    measured = measure(scene, lane, Plan(Shape.STREAM, connections, SECONDS, requests=STREAMS, warmup=3))
    delay = measured.first_event_after_sent or Spread(float("inf"), float("inf"), float("inf"))
    return FirstEvent(lane.name, measured.requests, measured.errors, delay)


def render(found: Sequence[FirstEvent]) -> str:
    """A table in milliseconds."""
    head = f"  {'':<14}{'streams':>9}{'errors':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
    rows = (
        f"  {each.lane:<14}{each.streams:>9}{each.errors:>8}{each.delay.p50_us / 1000:>9.2f}"
        f"{each.delay.p99_us / 1000:>9.2f}{each.delay.max_us / 1000:>9.2f}"
        for each in found
    )
    return "\n".join(["first event at the caller, after upstream sent it", head, *rows])


def judge(found: Sequence[FirstEvent]) -> list[Claim]:
    """At most 3 ms, p99, on an idle machine (issue 3)."""
    delays = {each.lane: each.delay.p99_us / 1000 for each in found}
    return [
        Claim(f"{lane}: first event after sent, p99 ms", delays.get(lane), BOUND_MS, False)
        for lane in (HTTPS, GRPC)
    ]
