"""`broker doctor`: looks at all that a configuration names and says what is wrong, and what to do about it.

Knows: how findings are shown, and which exit code they mean. Must not know: what is looked at.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.app.doctor import Check, Level, VaultProof, check_places, examine
from broker.cli.exitcodes import ExitCode
from broker.cli.options import Json
from broker.config import Settings, load_with_places
from broker.errors import ConfigError

_STYLES = {Level.GOOD: "green", Level.WARNING: "yellow", Level.BAD: "bold red", Level.UNKNOWN: "magenta"}


def doctor(
    config: Annotated[Path, typer.Option(help="The broker's configuration.")],
    credential: Annotated[
        list[str] | None, typer.Option(help="A credential that policy names; absent: openai.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Vault: 0600 file with a token that has the broker's policy, to ask with it."),
    ] = None,
    wrapped_secret_id: Annotated[
        Path | None,
        typer.Option(
            help="Vault, AppRole: a wrapped secret id for the doctor; the broker's opens only once."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Checks configuration, TLS files, policies, log, keys and each line of Vault's policy. Exit 1: something
    is bad; 2: something could not be looked at.
    """
    if not config.is_file():
        raise ConfigError(f"{config}: no such file. Try: broker doctor --config /etc/broker/broker.toml")
    try:
        settings, misplaced = load_with_places(config)
    except ConfigError as error:
        checks = [Check("configuration", Level.BAD, str(error))]
    else:
        proof = VaultProof(token_file, wrapped_secret_id)
        found = asyncio.run(_examined(settings, proof, credential or ["openai"]))
        complete = Check("configuration", Level.GOOD, "The configuration is complete.")
        checks = [*(list(check_places(misplaced, found)) or [complete]), *found]
    _show_json(checks) if as_json else _show(checks)
    levels = {check.level for check in checks}
    if Level.BAD in levels:
        raise typer.Exit(ExitCode.BAD)
    if Level.UNKNOWN in levels:
        raise typer.Exit(ExitCode.INCOMPLETE)


async def _examined(settings: Settings, proof: VaultProof, credentials: Sequence[str]) -> list[Check]:
    return [check async for check in examine(settings, proof, credentials)]


def _show_json(checks: Sequence[Check]) -> None:
    typer.echo(
        json.dumps(
            [
                {"subject": each.subject, "level": each.level.value, "told": each.told, "remedy": each.remedy}
                for each in checks
            ]
        )
    )


def _show(checks: Sequence[Check]) -> None:
    """A table on a terminal; elsewhere one line a check."""
    if not sys.stdout.isatty():
        for each in checks:
            typer.echo(" ".join(filter(None, (each.level.value, f"{each.subject}:", each.told, each.remedy))))
        return
    table = Table("", "part", "found", "what to do")
    for each in checks:
        level = Text(each.level.value, style=_STYLES[each.level])
        table.add_row(level, each.subject, Text(each.told), Text(each.remedy))
    Console().print(table)
