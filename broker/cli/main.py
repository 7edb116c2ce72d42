"""`broker`: puts the commands together, and turns what stopped one into a sentence and an exit code."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from broker.cli import audit, call, dev, keys, serve, token
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
app.add_typer(token.app, name="token", help="Issue and look into tokens.")
app.add_typer(call.app, name="call", help="Call OpenAI through the broker.")
app.add_typer(audit.app, name="audit", help="Verify and read the log.")
app.add_typer(keys.app, name="keys", help="Import and list the upstream keys.")


def main() -> None:
    """The console script."""
    try:
        app()
    except (BrokerError, ConfigError, OSError) as error:
        Console(stderr=True).print(f"broker: {error}", style="red", markup=False, highlight=False)
        sys.exit(COULD_NOT_RUN)


if __name__ == "__main__":
    main()
