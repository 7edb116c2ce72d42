"""`python -m tests.bench`: what to measure, against whom, and how it is printed.

Exit codes: 0 measured, 1 measured and (with --strict) a bound does not hold, 3 could not measure.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from . import latency, machine, memory, tables, throughput
from .broker_gateway import Broker
from .claims import Claim, judge
from .deployment import Deployment, Shape, running_upstream
from .errors import BenchError
from .gateways import Direct, Envoy, FerroLabs, Gateway, LiteLLM, LiteLLMRust, Portkey
from .install import build_load, say
from .target import Lane

ROOT = Path(__file__).parents[2]
COULD_NOT_RUN = 3
PEERS: dict[str, Callable[..., Gateway]] = {
    "direct": Direct,
    "envoy": Envoy,
    "ferrogw": FerroLabs,
    "litellm": LiteLLM,
    "litellm-rust": LiteLLMRust,
    "portkey": Portkey,
    "broker": Broker,
    "broker-2": partial(Broker, workers=2),
}


def main() -> int:
    """Runs one measurement; everything it started has ended when it returns."""
    options = _arguments()
    before = machine.described()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(COULD_NOT_RUN))  # unwinds: every child is stopped
    measurements = {"throughput": _throughput, "stream-latency": _latency, "stream-memory": _memory}
    try:
        if not options.any_interpreter:
            machine.require_optimized_interpreter()
        claims = measurements[options.measurement](options)
    except BenchError as failure:
        say(f"bench: {failure}")
        return COULD_NOT_RUN
    print("\n".join(claim.line() for claim in claims))
    print(f"\nbefore: {before}\nafter:  {machine.described()}")
    return 1 if options.strict and not all(claim.holds for claim in claims) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    add = parser.add_argument
    kinds = ("throughput", "stream-latency", "stream-memory")
    add("measurement", nargs="?", default="throughput", choices=kinds)
    add(
        "--peers",
        type=_peers,
        help=f"comma-separated, of {','.join(PEERS)} (default: all; sub-benchmarks: broker)",
    )
    add("--seconds", type=float, default=5.0, help="for each peer, shape and number of connections")
    add("--rounds", type=int, default=3, help="interleaved parts that --seconds are split into")
    add("--connections", type=_numbers, default=(1, 16, 100), help="comma-separated numbers")
    add("--shapes", type=_shapes, default=tuple(Shape), help=f"comma-separated, of {','.join(Shape)}")
    add("--streams", type=int, default=1000, help="concurrent streams of stream-memory")
    add("--identity", default="assistant", help="which identity of dev.json calls the broker")
    add("--cache", type=Path, default=ROOT / ".tools" / "bench", help="where peers are installed, once")
    add("--json", type=Path, help="also write every round's figures to this file")
    add("--any-interpreter", action="store_true", help="measure a Python built without PGO and LTO, too")
    add("--strict", action="store_true", help="exit 1 when a bound does not hold")
    return parser.parse_args()


def _peers(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PEERS)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _shapes(text: str) -> tuple[Shape, ...]:
    return tuple(Shape(each) for each in text.split(","))


@contextmanager
def _stage(options: argparse.Namespace, names: Sequence[str]) -> Iterator[tuple[Deployment, list[Lane]]]:
    """Everything installed and running. The run's folder lies beside the cache, on the checkout's disk:
    the broker's durable records must cost what they cost there.
    """
    cache: Path = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    gateways = [_gateway(name, options.identity) for name in names]
    binary = build_load(cache)
    for gateway in gateways:
        gateway.install(cache)
    with ExitStack() as running:
        work = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=cache)))
        upstream = running.enter_context(running_upstream(binary, work))
        scene = Deployment(cache, work, binary, upstream)
        lanes: list[Lane] = []
        for gateway in gateways:
            say(f"starting {gateway.name}: {gateway.note}")
            lanes += gateway.start(scene, running)
        yield scene, lanes


def _gateway(name: str, identity: str) -> Gateway:
    made = PEERS[name]
    return made(identity) if name.startswith("broker") else made()


def _throughput(options: argparse.Namespace) -> list[Claim]:
    effort = throughput.Effort(options.seconds, options.rounds, options.connections, options.shapes)
    names = options.peers or list(PEERS)
    with _stage(options, names) as (scene, lanes):
        results = throughput.run(scene, lanes, effort)
    claims = judge(results)
    notes = {name: PEERS[name]().note for name in names}
    print(tables.render(results), tables.legend(), sep="\n\n", end="\n\n")
    print("\n".join(f"{name}: {note}" for name, note in notes.items()), end="\n\n")
    if options.json:
        options.json.write_text(json.dumps(tables.document(results, claims, notes), indent=1) + "\n")
    return claims


def _latency(options: argparse.Namespace) -> list[Claim]:
    with _stage(options, options.peers or ["direct", "broker"]) as (scene, lanes):
        found = latency.run(scene, lanes, min(options.connections))
    print(latency.render(found), end="\n\n")
    return latency.judge(found)


def _memory(options: argparse.Namespace) -> list[Claim]:
    memory.raise_file_limit(options.streams)
    with _stage(options, options.peers or ["broker"]) as (scene, lanes):
        found = memory.run(scene, lanes, options.streams)
    print(memory.render(found), end="\n\n")
    return memory.judge(found)


if __name__ == "__main__":
    sys.exit(main())
