"""`broker serve`: one broker, every adapter chosen by its configuration."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import structlog
import typer

from broker.adapters.telemetry import NativeLines, configure_log
from broker.app import session as process_session
from broker.app.supervisor import Supervisor
from broker.cli.announced import Announced
from broker.cli.exitcodes import ExitCode
from broker.config import Settings, load_to_serve

Announce = Callable[[Announced], None]


def serve(
    config: Annotated[
        Path, typer.Option(help="The TOML configuration; each key is also BROKER__SECTION__KEY.")
    ],
) -> None:
    """Serves until SIGTERM or SIGINT, and has ended 25 s after it. Exit 1 when the log can no longer be
    written, or something hung at the end.
    """
    settings = load_to_serve(config)
    run(lambda stop: serve_until(settings, lambda: load_to_serve(config), stop, _accepting, _ready))


def run(session: Callable[[asyncio.Event], Awaitable[bool]]) -> None:
    """Runs `session` until a signal sets its event. Raises typer.Exit(1) where it lost its log."""
    if not process_session.run(session):
        typer.echo("broker: the log can no longer be written; restart to recover it", err=True)
        raise typer.Exit(ExitCode.BAD)


async def serve_until(
    settings: Settings,
    reload: Callable[[], Settings] | None,
    stop: asyncio.Event,
    accepting: Announce,
    ready: Announce,
) -> bool:
    """One broker from start to stop, of as many processes as the settings say. `accepting` is called once it
    takes connections, `ready` once /readyz says so, too. False: the log was lost. SIGHUP has workers replaced
    by others with the settings that `reload` gives; without it, and without workers, it ends the process.
    """
    many = settings.server.workers
    with NativeLines() as native:
        configure_log(settings.log.level, settings.log.format)
        if many == 1:
            from broker.app.broker import Broker  # noqa: PLC0415 - a supervisor needs none of it

            with hung_up(_tell_one) if reload else nullcontext():
                return await process_session.live(Broker(settings, native), stop, accepting, ready)
        supervisor = Supervisor(settings, many, reload or (lambda: settings))
        with replacing(supervisor):
            return await process_session.live(supervisor, stop, accepting, ready)


@contextmanager
def replacing(supervisor: Supervisor) -> Iterator[None]:
    """Meanwhile SIGHUP has workers replaced, one at a time."""
    replacements = set[asyncio.Task[None]]()

    def asked() -> None:
        if not replacements:
            task = asyncio.ensure_future(supervisor.replace())
            replacements.add(task)
            task.add_done_callback(replacements.discard)

    with hung_up(asked):
        yield


@contextmanager
def hung_up(heed: Callable[[], None]) -> Iterator[None]:
    """Meanwhile SIGHUP has this done."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, heed)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _tell_one() -> None:
    """A reload must not end a broker that has nothing to replace."""
    structlog.get_logger().error(
        "workers_not_replaced", why="one process serves; restart it, or set server.workers to more than one"
    )


def _accepting(broker: Announced) -> None:
    typer.echo(f"https {broker.https_url}\ngrpc {broker.grpc_address}")
    if missing := broker.unready():
        typer.echo(f"waiting: {missing}")


def _ready(_broker: Announced) -> None:
    typer.echo("ready")
