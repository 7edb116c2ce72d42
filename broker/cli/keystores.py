"""Which store of keys a command means: a folder, or a configuration's, with the operator's own rights.

Knows: the options that say so. Must not know: what is done to a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from broker.adapters.keystore import SealedStore
from broker.adapters.vault import VaultStore
from broker.adapters.vault.operator import ClientCertificate, Proof, TokenFile, operator
from broker.app.from_vault import cluster
from broker.app.keys import keystore
from broker.cli.options import Key
from broker.config import load
from broker.errors import ConfigError
from broker.ports import KeyStore

DEFAULT_KEYSTORE = Path(".broker/keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOptions:
    """Who the operator is at Vault."""

    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="0600 file with your own Vault token, e.g. ~/.vault-token."),
    ] = None
    cert: Annotated[
        Path | None,
        typer.Option("--cert", help="Your client certificate for Vault (PEM), instead of a token."),
    ] = None
    key: Key = None
    role: Annotated[
        str, typer.Option("--role", help="The role of your certificate in Vault's cert auth method.")
    ] = ""

    def proof(self) -> Proof:
        """Raises ConfigError where the options do not say it."""
        if self.token_file is not None and self.cert is None and self.key is None:
            return TokenFile(self.token_file.expanduser())
        if self.cert is not None and self.key is not None and self.token_file is None:
            return ClientCertificate(self.cert, self.key, self.role)
        raise ConfigError(
            "Vault must know who you are: give --token-file (0600; `vault login` writes ~/.vault-token), or "
            "--cert and --key; nothing is read from the environment"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Which store is meant."""

    keystore: Annotated[
        Path | None,
        typer.Option("--keystore", help=f"The sealed keystore's directory; absent: {DEFAULT_KEYSTORE}."),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The broker's configuration: the store that it uses is meant."),
    ] = None


@contextmanager
def opened(chosen: StoreOptions, asking: OperatorOptions) -> Iterator[tuple[KeyStore, str]]:
    """The store, and what to call it. Raises ConfigError, BrokerError and OSError."""
    if chosen.config is None:
        directory = chosen.keystore or DEFAULT_KEYSTORE
        yield SealedStore(directory), str(directory)
        return
    if chosen.keystore is not None:
        raise ConfigError("--config and --keystore name two stores: give one of them")
    settings = load(chosen.config)
    if settings.keys.adapter == "none":
        raise ConfigError("keys.adapter is none: this broker stores no key; set it to sealed or vault")
    if settings.keys.adapter == "sealed":
        directory = keystore(settings)
        yield SealedStore(directory), str(directory)
        return
    vault = settings.vault
    with operator(cluster(vault), asking.proof()) as one:
        yield VaultStore(one, vault.mount, vault.prefix), f"Vault at {vault.mount}/{vault.prefix}"
