"""A real `broker serve` process on a configuration that a test makes: any policy engine, any upstream."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from broker.adapters.pki import DevPki
from broker.cli.devfiles import (
    IDENTITIES,
    TRUST_DOMAIN,
    DevPaths,
    Serving,
    configuration,
    import_upstream_key,
)
from tests.nursery import Born
from tests.ports import free_port
from tests.running import WORKERS, Identity, RunningBroker, start

KEY = "sk-served-0123456789abcdef"
_READY_LINES = 3


@contextmanager
def served_broker(
    home: Path,
    upstream: str,
    policy: Mapping[str, object],
    *,
    workers: int = WORKERS,
    first: str = "",
    **sections: Mapping[str, object],
) -> Iterator[RunningBroker]:
    """The broker, accepting calls; ended afterwards. `policy` and `sections` replace whole sections; `first`
    as for `start_broker`.
    """
    places = DevPaths(home)
    places.prepare()
    import_upstream_key(places, KEY)
    console = f"127.0.0.1:{free_port()}"
    made = configuration(places, Serving("127.0.0.1:0", "127.0.0.1:0", console, workers), upstream, None)
    sections = {**made.model_dump(mode="json", exclude_none=True), "policy": policy, **sections}
    config = home / "broker.toml"
    config.write_text(_toml(sections))
    with home.with_name(f"{home.name}.err").open("a") as errors:
        process = start(("serve", "--config", str(config)), errors, first=first)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(_READY_LINES)]
    running = _running(process, places, said, console, upstream)
    try:
        assert said[-1] == "ready" or said[-1].startswith("waiting: "), running.errors.read_text()[-2000:]
        yield running
    finally:
        running.stop()


def _running(
    process: subprocess.Popen[str] | Born, places: DevPaths, said: list[str], console: str, upstream: str
) -> RunningBroker:
    pki = DevPki.load_or_create(places.pki, TRUST_DOMAIN)
    workloads = {name: pki.workload(name) for name in IDENTITIES}
    return RunningBroker(
        process=process,
        directory=places.root,
        https=said[0].removeprefix("https "),
        grpc=said[1].removeprefix("grpc "),
        console=f"http://{console}",
        ca=pki.ca,
        identities={name: Identity(who.spiffe_id, who.cert, who.key) for name, who in workloads.items()},
        log=places.log,
        policies=Path(),
        upstream=upstream,
    )


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """JSON writes these values as TOML does."""
    return "".join(
        f"[{name}]\n"
        + "".join(f"{key} = {json.dumps(value, default=str)}\n" for key, value in section.items())
        for name, section in sections.items()
    )
