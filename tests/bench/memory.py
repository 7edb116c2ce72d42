"""What a gateway's memory does under many concurrent slow streams. Knows no gateway by name."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .claims import GRPC, HTTPS, Claim
from .deployment import Deployment, Shape
from .errors import BenchError
from .install import say
from .loadgen import Measured, Plan, measure
from .target import Lane

EVENTS = 30
PAUSE_MS = 500.0
OPENING_SECONDS = 60.0
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 2.0
FILES_A_STREAM = 4
FILES_SPARE = 200
BOUND_KIB = 100.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident KiB: before, when all streams were open, just before they ended, at most, and after."""

    lane: str
    streams: int
    before: float
    opened: float
    last: float
    peak: float
    after: float

    @property
    def a_stream(self) -> float:
        """KiB for one stream, at the peak."""
        return (self.peak - self.before) / self.streams


def raise_file_limit(streams: int) -> None:
    """For this process and all it starts. Raises BenchError where the hard limit is too low."""
    wanted = FILES_A_STREAM * streams + FILES_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(
            f"{streams} streams need {wanted} open files, the limit is {hard}: raise `ulimit -Hn`"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def run(scene: Deployment, lanes: Sequence[Lane], streams: int) -> list[Memory]:
    """Measures each lane that is a gateway. Raises BenchError where streams did not all open or end well."""
    return [_lane(scene, lane, streams) for lane in lanes if lane.child is not None]


def _lane(scene: Deployment, lane: Lane, streams: int) -> Memory:
    say(f"measuring memory: {lane.name}, {streams} streams of {EVENTS * PAUSE_MS / 1000:.0f} s")
    scene.upstream.shape(events=EVENTS, delay_ms=0)
    measure(scene, lane, Plan(Shape.STREAM, 16, SETTLE_SECONDS))
    scene.upstream.shape(events=EVENTS, delay_ms=PAUSE_MS)
    before = _resident(lane)
    load = _Load(scene, lane, streams)
    load.start()
    samples = _watch(scene, lane, streams, load)
    load.finish()
    time.sleep(SETTLE_SECONDS)
    return Memory(lane.name, streams, before, samples[0], samples[-1], max(samples), _resident(lane))


class _Load(threading.Thread):
    """The streams, in a thread: the load generator runs while this process samples."""

    def __init__(self, scene: Deployment, lane: Lane, streams: int) -> None:
        super().__init__(name="streams", daemon=True)
        seconds = OPENING_SECONDS + EVENTS * PAUSE_MS / 1000
        self._plan = Plan(Shape.STREAM, streams, seconds, requests=streams, warmup=0)
        self._scene, self._lane = scene, lane
        self._measured: Measured | None = None
        self._failure: BenchError | None = None

    def run(self) -> None:
        """One load; what it raised is raised again by `finish`."""
        try:
            self._measured = measure(self._scene, self._lane, self._plan)
        except BenchError as failure:
            self._failure = failure

    def finish(self) -> None:
        """Waits. Raises BenchError unless every stream ended as it should."""
        self.join()
        if self._failure is not None:
            raise self._failure
        if self._measured is not None and self._measured.errors:
            raise BenchError(
                f"{self._measured.errors} streams failed, the first with: {self._measured.first_error}"
            )


def _watch(scene: Deployment, lane: Lane, streams: int, load: _Load) -> list[float]:
    """Resident KiB, sampled while all streams are open."""
    deadline = time.monotonic() + OPENING_SECONDS
    while scene.upstream.open_streams() < streams:
        if not load.is_alive() or time.monotonic() > deadline:
            load.finish()
            raise BenchError(f"{lane.name}: {streams} streams were never open at the same time")
        time.sleep(SAMPLE_SECONDS / 5)
    samples = [_resident(lane)]
    while scene.upstream.open_streams() >= streams:
        time.sleep(SAMPLE_SECONDS)
        samples.append(_resident(lane))
    return samples


def _resident(lane: Lane) -> float:
    return lane.child.resident_bytes() / 1024 if lane.child else 0.0


def render(found: Sequence[Memory]) -> str:
    """A table in MiB, with KiB a stream."""
    moments = ("streams", "before", "opened", "last", "peak", "after")
    head = f"  {'':<14}{''.join(f'{each:>9}' for each in moments)}{'KiB/stream':>12}"
    rows = (
        f"  {each.lane:<14}{each.streams:>9}"
        + "".join(
            f"{kib / 1024:>9.1f}" for kib in (each.before, each.opened, each.last, each.peak, each.after)
        )
        + f"{each.a_stream:>12.1f}"
        for each in found
    )
    return "\n".join(["resident MiB under concurrent slow streams", head, *rows])


def judge(found: Sequence[Memory]) -> list[Claim]:
    """At most 100 KiB a stream (issue 3)."""
    sizes = {each.lane: each.a_stream for each in found}
    return [
        Claim(f"{lane}: KiB a stream", sizes.get(lane), BOUND_KIB, False)
        for lane in (HTTPS, GRPC)
        if lane in sizes
    ]
