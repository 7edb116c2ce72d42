"""`broker`: puts the commands together, and turns what stopped one into a sentence and an exit code."""

from __future__ import annotations

import errno
import socket
import sys

import typer
from rich.console import Console
from typer.exceptions import Abort, TyperException

from broker.adapters.telemetry import configure_log
from broker.cli import audit, call, dev, doctor, keys, objects, policy, serve, token, vault
from broker.config import ConfigError
from broker.errors import BrokerError

COULD_NOT_RUN = 3

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Zero-trust credential broker and policy engine in front of the OpenAI API.",
)
app.command("dev")(dev.dev)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(token.app, name="token", help="Issue and look into tokens.")
app.add_typer(call.app, name="call", help="Call OpenAI through the broker.")
app.add_typer(audit.app, name="audit", help="Verify and read the log.")
app.add_typer(keys.app, name="keys", help="Import, list, rotate and quarantine the upstream keys.")
app.add_typer(objects.app, name="objects", help="Whose the objects are that OpenAI keeps.")
app.add_typer(vault.app, name="vault", help="Set Vault up for the broker.")
app.add_typer(policy.app, name="policy", help="Test, check, explain and replay policies.")


def main() -> None:
    """The console script. A command line that cannot be understood is 3 like all that could not run: typer's
    own 2 means incomplete here.
    """
    configure_log("warning", "auto")  # to standard error: what a command prints is its answer alone
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        message = error.format_message()  # empty where the help was printed instead
        _complain(f"{message.rstrip('.')}. See --help." if message else "")
    except (BrokerError, ConfigError) as error:
        _complain(str(error))
    except OSError as error:
        _complain(told(error))
    except Abort:
        _complain("stopped")
    sys.exit(COULD_NOT_RUN)


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
        Console(stderr=True, soft_wrap=True).print(
            f"broker: {what}", style="red", markup=False, highlight=False
        )


if __name__ == "__main__":
    main()
