"""`broker`: puts the commands together, and turns what stopped one into a sentence and an exit code."""

from __future__ import annotations

import errno
import socket
import sys

import typer
from typer.exceptions import Abort, TyperException

from broker.cli.exitcodes import ExitCode
from broker.cli.lazy import Lazy, lazy_group
from broker.errors import BrokerError, ConfigError

COMMANDS = {
    "dev": Lazy(
        "broker.cli.dev:dev",
        "Start a development broker, for this machine only.",
    ),
    "serve": Lazy(
        "broker.cli.serve:serve",
        "Serve, as the configuration says.",
    ),
    "status": Lazy(
        "broker.cli.status:status",
        "Show the processes of a running broker.",
    ),
    "doctor": Lazy(
        "broker.cli.doctor:doctor",
        "Check whatever serving needs.",
    ),
    "token": Lazy("broker.cli.token:app", "Issue and look into tokens."),
    "call": Lazy("broker.cli.call:app", "Call OpenAI through the broker."),
    "limits": Lazy("broker.cli.limits:app", "What is left of limits; have one begin anew."),
    "audit": Lazy("broker.cli.audit:app", "Verify and read the log."),
    "keys": Lazy("broker.cli.keys:app", "Import, list, rotate and quarantine the upstream keys."),
    "vault": Lazy("broker.cli.vault:app", "Set Vault up for the broker."),
    "objects": Lazy("broker.cli.objects:app", "Whose the objects are that OpenAI keeps."),
    "policy": Lazy("broker.cli.policy:app", "Test, check, explain and replay policies."),
}
app = lazy_group("Zero-trust credential broker and policy engine in front of the OpenAI API.", COMMANDS)


@app.callback()
def _before(context: typer.Context) -> None:
    if context.obj is not None:
        context.obj()


def _set_up_log() -> None:
    from broker.adapters.telemetry import configure_log

    configure_log("warning", "auto")  # to standard error: what a command prints is its answer alone


def main() -> None:
    """The console script. A command line that cannot be understood is 3 like all that could not run: typer's
    own 2 means incomplete here.
    """
    try:
        sys.exit(app(standalone_mode=False, obj=_set_up_log))
    except TyperException as error:
        message = error.format_message()  # empty where the help was printed instead
        _complain(f"{message.rstrip('.')}. See --help." if message else "")
    except (BrokerError, ConfigError) as error:
        _complain(str(error))
    except OSError as error:
        _complain(told(error))
    except Abort:
        _complain("stopped")
    sys.exit(ExitCode.COULD_NOT_RUN)


_REMEDIES = {
    errno.EADDRINUSE: "Another process listens there: end it, or give another port",
    errno.EADDRNOTAVAIL: "No network interface of this machine has that address: give one it has",
    errno.EACCES: "Give the user that runs the broker the right to it",
    errno.EPERM: "Give the user that runs the broker the right to it",
    errno.ENOENT: "Check the path, in the configuration or on the command line",
    errno.ENOTDIR: "Check the path: a part of it is no folder",
    errno.EISDIR: "Check the path: a file was expected",
    errno.ENOSPC: "Make room on that disk",
    errno.EROFS: "Give a path on a disk that can be written to",
    errno.EINVAL: "Check it, in the configuration or on the command line",
    socket.EAI_NONAME: "No such host: check the name",
}


def told(error: OSError) -> str:
    """What failed, at which address or path, and what to try."""
    places = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' → '.join(places)}: " if places else ""
    what = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0, 'Run it again with [log] level = "debug" to see more')
    return f"{where}{what}. {remedy}."


def _complain(what: str) -> None:
    if what:
        from rich.console import Console

        Console(stderr=True, soft_wrap=True).print(
            f"broker: {what}", style="red", markup=False, highlight=False
        )


if __name__ == "__main__":
    main()
