"""Which broker a command talks to and as whom: `dev.json` of `broker dev`, or options.

Knows: the format of dev.json, and the options that commands share. Must not know: what a command does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import typer
from rich.console import Console

from broker.cli.exitcodes import ExitCode
from broker.cli.options import Key
from broker.client import Credentials, TokenRequest
from broker.errors import BrokerError

DEFAULT_DEV = Path(".broker/dev.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """Which broker is asked, as whom, and for whom. What the options leave open is in dev.json."""

    user: Annotated[
        str | None, typer.Option("--user", help="Whom the calls are for; it goes into the record.")
    ] = None
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="Why you break the glass; it goes into the record.")
    ] = None
    identity: Annotated[str, typer.Option("--as", help="Which identity of dev.json to be.")] = "assistant"
    dev: Annotated[Path, typer.Option("--dev", help="dev.json of `broker dev`, or its folder.")] = DEFAULT_DEV
    https: Annotated[
        str | None, typer.Option("--https", help="The broker's https URL, instead of dev.json's.")
    ] = None
    cert: Annotated[
        Path | None, typer.Option("--cert", help="Client certificate (PEM), instead of --as.")
    ] = None
    key: Key = None
    ca: Annotated[
        Path | None, typer.Option("--ca", help="CA of the broker (PEM), instead of dev.json's.")
    ] = None

    def wish(self, scope: str = "", ttl: int | None = None) -> TokenRequest:
        """The token to ask for."""
        return TokenRequest(scope=scope, user=self.user, ttl=ttl, purpose=self.purpose)


class TargetError(Exception):
    """The command cannot tell which broker is meant, or as whom; the message says what to try."""


class ClientIdentity(msgspec.Struct, frozen=True):
    """One of dev.json's identities. Paths are absolute, or relative to dev.json."""

    spiffe_id: str
    cert: str
    key: str


class DevFile(msgspec.Struct, frozen=True):
    """What the commands read of dev.json; it has more."""

    https: str
    ca: str
    identities: dict[str, ClientIdentity]


@dataclass(frozen=True, slots=True)
class Target:
    """A broker's https URL, without a path, and the credentials to use there."""

    https: str
    credentials: Credentials


def resolve(chosen: TargetOptions) -> Target:
    """Options first; what they leave open comes from dev.json. Raises TargetError."""
    https, cert, key, ca = chosen.https, chosen.cert, chosen.key, chosen.ca
    if (cert is None) != (key is None):
        raise TargetError("--cert and --key go together.")
    if https is not None and ca is not None and cert is not None and key is not None:
        return Target(https, Credentials(cert, key, ca))
    file = chosen.dev / "dev.json" if chosen.dev.is_dir() else chosen.dev
    known = read_dev_file(file)
    if cert is None or key is None:
        found = known.identities.get(chosen.identity)
        if found is None:
            names = ", ".join(sorted(known.identities))
            raise TargetError(f"dev.json has no such identity. Try --as with one of: {names}.")
        cert, key = file.parent / found.cert, file.parent / found.key
    return Target(https or known.https, Credentials(cert, key, ca or file.parent / known.ca))


def read_dev_file(file: Path) -> DevFile:
    """Raises TargetError where it is missing or not what `broker dev` writes."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=DevFile)
    except FileNotFoundError:
        raise TargetError(
            f"There is no {file}: start `broker dev` first, or give --https, --ca, --cert and --key."
        ) from None
    except msgspec.DecodeError:
        raise TargetError(f"{file} is not what `broker dev` writes: start it again, or see --dev.") from None


@contextmanager
def verdict() -> Iterator[None]:
    """Turns what stopped a command into a sentence on standard error and its exit code: 1 where the broker
    said no, 3 where it could not be asked.
    """
    try:
        yield
    except BrokerError as error:
        complain(str(error))
        raise typer.Exit(ExitCode.BAD) from None
    except httpx.HTTPError as error:
        complain(
            f"The broker did not answer: {error}. Check that it runs: start `broker dev`, or see --https."
        )
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None
    except (TargetError, OSError) as error:  # ssl.SSLError is an OSError
        complain(str(error))
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None


def complain(message: str) -> None:
    """Prints `broker: message`, in red on a terminal, without characters that would steer it."""
    message = "".join(character if character.isprintable() else " " for character in message)
    Console(stderr=True, soft_wrap=True).print(
        f"broker: {message}", style="red", markup=False, highlight=False
    )
