"""`broker serve`: one broker process, every adapter chosen by its configuration."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from broker.adapters.process import end_within, harden
from broker.adapters.telemetry import NativeLines, configure_log
from broker.app import Broker
from broker.cli.exitcodes import ExitCode
from broker.config import Settings, load_to_serve

Announce = Callable[[Broker], None]
STOP_SECONDS = 25.0
"""From the signal, or the log's loss, to the end of the process. The systemd unit waits longer."""
_LOOK_SECONDS = 0.05


def serve(
    config: Annotated[
        Path, typer.Option(help="The TOML configuration; each key is also BROKER__SECTION__KEY.")
    ],
) -> None:
    """Serves until SIGTERM or SIGINT, and has ended 25 s after it. Exit 1 when the log can no longer be
    written, or something hung at the end.
    """
    settings = load_to_serve(config)
    run(lambda stop: serve_until(settings, stop, _accepting, _ready))


def run(session: Callable[[asyncio.Event], Awaitable[bool]]) -> None:
    """Runs `session` until a signal sets its event. Raises typer.Exit(1) where it lost its log."""
    harden()
    if not uvloop.run(_signalled(session)):
        typer.echo("broker: the log can no longer be written; restart to recover it", err=True)
        raise typer.Exit(ExitCode.BAD)


async def serve_until(settings: Settings, stop: asyncio.Event, accepting: Announce, ready: Announce) -> bool:
    """One broker from start to stop. `accepting` is called once it takes connections, `ready` once /readyz
    says so, too. False: the log was lost.
    """
    with NativeLines() as native:
        configure_log(settings.log.level, settings.log.format)
        return await _lived(Broker(settings, native), stop, accepting, ready)


async def _lived(broker: Broker, stop: asyncio.Event, accepting: Announce, ready: Announce) -> bool:
    """A start that fails is undone as every broker ends."""
    try:
        await broker.start()
        accepting(broker)
        telling = asyncio.create_task(_tell_ready(broker, ready))
        gc.collect()
        gc.set_threshold(20_000, 20, 100)
        gc.freeze()  # what start-up made lives as long as the process: the collector need not walk it
        await _first(stop, broker.log_lost)
        telling.cancel()
    finally:
        if not stop.is_set():
            end_within(STOP_SECONDS)
        await broker.stop()
    return not broker.log_lost.is_set()  # it may have been lost by what was to be recorded at the end


async def _tell_ready(broker: Broker, ready: Announce) -> None:
    while broker.unready():  # noqa: ASYNC110 - what it waits for sets no event
        await asyncio.sleep(_LOOK_SECONDS)
    ready(broker)


async def _signalled(session: Callable[[asyncio.Event], Awaitable[bool]]) -> bool:
    stop = asyncio.Event()

    def asked() -> None:
        if not stop.is_set():
            end_within(STOP_SECONDS)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return await session(stop)


async def _first(stop: asyncio.Event, lost: asyncio.Event) -> None:
    """Returns when the signal came, or the log was lost."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, lost)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _accepting(broker: Broker) -> None:
    typer.echo(f"https {broker.https_url}\ngrpc {broker.grpc_address}")
    if missing := broker.unready():
        typer.echo(f"waiting: {missing}")


def _ready(_broker: Broker) -> None:
    typer.echo("ready")
