"""`broker token issue` and `broker token inspect`.

Knows: how a token is shown. Must not know: how one is made.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from broker import strictjson
from broker.cli.exitcodes import ExitCode
from broker.cli.options import Json, grouped
from broker.cli.replies import harmless
from broker.cli.target import TargetOptions, complain, resolve, verdict
from broker.client import Token, issue_token

app = typer.Typer(no_args_is_help=True, help="Issue and look into tokens.")
_TIMES = ("iat", "exp", "nbf")
_JWT_PARTS = 3
_STANDARD_INPUT = "-"


@app.command()
@grouped
def issue(
    *,
    scope: Annotated[
        str, typer.Option(help='"chat:gpt-4o embeddings:*"; absent: all that policy grants.')
    ] = "",
    ttl: Annotated[int | None, typer.Option(min=1, help="Seconds it should last.")] = None,
    chosen: TargetOptions,
    as_json: Json = False,
) -> None:
    """Gets a token. Away from a terminal it is all that is printed: TOKEN=$(broker token issue) works."""
    with verdict():
        target = resolve(chosen)
        wish = chosen.wish(scope, ttl)
        token = issue_token(target.https, target.credentials, wish)
    if as_json:
        reply = {"access_token": token.value, "token_type": "Bearer"}
        typer.echo(json.dumps(reply | {"expires_in": token.expires_in, "scope": token.scope}))
    elif sys.stdout.isatty():
        _show(token)
    else:
        typer.echo(token.value)


@app.command()
@grouped
def inspect(
    *,
    token: Annotated[str, typer.Argument(help="The token, or - to read it from standard input.")],
    as_json: Json = False,
) -> None:
    """Shows what a token says, without asking the broker: its signature is NOT verified."""
    try:
        header, claims = _decoded(sys.stdin.read().strip() if token == _STANDARD_INPUT else token)
    except ValueError as error:
        complain(f"This is not a token: {error}. Give the three parts between the dots, whole.")
        raise typer.Exit(ExitCode.BAD) from None
    if as_json:
        typer.echo(json.dumps({"verified": False, "header": header, "claims": claims}))
        return
    table = Table("", "", title="not verified", show_header=False)
    for name, value in (*header.items(), *claims.items()):
        table.add_row(harmless(name), harmless(_told(name, value)))
    Console(soft_wrap=True, markup=False).print(table)


def _show(token: Token) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=token.expires_in)
    table = Table("", "", show_header=False)
    table.add_row("expires", f"{expires:%Y-%m-%d %H:%M:%S} UTC, in {token.expires_in} s")
    table.add_row("scope", token.scope.replace(" ", "\n"))
    typer.echo(token.value)
    Console().print(table)


def _told(name: str, value: object) -> str:
    if name in _TIMES and isinstance(value, int):
        moment = datetime.fromtimestamp(value, UTC)
        passed = " (passed)" if name == "exp" and moment <= datetime.now(UTC) else ""
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC{passed}"
    return value if isinstance(value, str) else json.dumps(value)


def _decoded(token: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Header and claims (RFC 7519). Raises ValueError that does not quote the token."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        raise ValueError(f"it has {len(parts)} parts")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> Mapping[str, object]:
    try:
        value = strictjson.parse(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except binascii.Error:
        raise ValueError("a part is not base64url") from None
    if not isinstance(value, dict):
        raise ValueError("a part is not a JSON object")  # noqa: TRY004 - the text is wrong, not a type
    return value
