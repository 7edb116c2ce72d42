"""`broker dev`: one process, everything embedded, loopback only; `serve` with a configuration it makes."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from broker.cli.announced import Announced
from broker.cli.devfiles import DevPaths, Serving, announce, configuration, import_upstream_key
from broker.cli.serve import run, serve_until
from broker.errors import ConfigError
from broker.simulator import Simulator


@dataclass(frozen=True, slots=True)
class _UpstreamChoice:
    url: str | None
    key_file: Path | None


def dev(
    directory: Annotated[Path, typer.Option("--dir", help="Where everything is kept.")] = Path(".broker"),
    https: Annotated[
        str, typer.Option(help="host:port of HTTPS; port 0 picks a free one.")
    ] = "127.0.0.1:8443",
    grpc: Annotated[str, typer.Option(help="host:port of gRPC.")] = "127.0.0.1:8444",
    console: Annotated[str, typer.Option(help="host:port of metrics and health.")] = "127.0.0.1:8445",
    upstream: Annotated[str | None, typer.Option(help="The OpenAI API; absent: a simulated one.")] = None,
    upstream_key_file: Annotated[
        Path | None, typer.Option(help="A file with the upstream's key; it goes into the sealed keystore.")
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="A folder of Rego policies; absent: the built-in ones.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve calls.")] = 1,
) -> None:
    """Starts a development broker: its own CA, keys and identities, for this machine only."""
    for address in (https, grpc, console):
        _refuse_public(address)
    places = DevPaths(directory.resolve())
    places.prepare()  # before anything else is told or made
    Console(stderr=True, soft_wrap=True).print(
        "DEV MODE  development CA, keys and identities; loopback only; never for production",
        style="bold white on red",
    )
    choice = _UpstreamChoice(upstream, upstream_key_file)
    serving = Serving(https, grpc, console, workers)
    run(lambda stop: _session(stop, places, serving, choice, policies))


async def _session(
    stop: asyncio.Event,
    places: DevPaths,
    serving: Serving,
    choice: _UpstreamChoice,
    policies: Path | None,
) -> bool:
    async with _upstream(places, choice) as url:
        settings = configuration(places, serving, url, policies)

        def accepting(broker: Announced) -> None:
            if missing := broker.unready():
                announce(broker, places, settings)
                typer.echo(f"waiting: {missing}")

        def ready(broker: Announced) -> None:
            announce(broker, places, settings)
            typer.echo("ready")

        return await serve_until(settings, None, stop, accepting, ready)


@asynccontextmanager
async def _upstream(places: DevPaths, choice: _UpstreamChoice) -> AsyncIterator[str]:
    """The upstream's base URL, its key in the keystore: the named one, or a simulated OpenAI."""
    if choice.url is not None:
        import_upstream_key(places, choice.key_file)
        yield choice.url
        return
    key = f"sk-sim-{secrets.token_hex(24)}"
    import_upstream_key(places, key)
    async with Simulator(keys=(key,)) as simulator:
        yield f"{simulator.url}/v1"


def _refuse_public(address: str) -> None:
    host = address.rpartition(":")[0].strip("[]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(f"{address}: broker dev listens on loopback only. Try: broker serve --config …")
