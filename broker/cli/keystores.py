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
from broker.app.fromvault import cluster
from broker.app.keys import keystore
from broker.config import load
from broker.errors import ConfigError
from broker.ports import KeyStore

DEFAULT_KEYSTORE = Path(".broker/keys")

Keystore = Annotated[
    Path | None,
    typer.Option("--keystore", help=f"The sealed keystore's directory; absent: {DEFAULT_KEYSTORE}."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="The broker's configuration: the store that it uses is meant.")
]
Token = Annotated[
    Path | None,
    typer.Option("--token-file", help="0600 file with your own Vault token, e.g. ~/.vault-token."),
]
Cert = Annotated[
    Path | None, typer.Option("--cert", help="Your client certificate for Vault (PEM), instead of a token.")
]
Key = Annotated[Path | None, typer.Option("--key", help="Its private key (PEM).")]
Role = Annotated[
    str, typer.Option("--role", help="The role of your certificate in Vault's cert auth method.")
]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options say."""

    keystore: Path | None
    config: Path | None
    token_file: Path | None
    cert: Path | None
    key: Path | None
    role: str


@contextmanager
def opened(chosen: Chosen) -> Iterator[tuple[KeyStore, str]]:
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
    with operator(cluster(vault), proof(chosen.token_file, chosen.cert, chosen.key, chosen.role)) as one:
        yield VaultStore(one, vault.mount, vault.prefix), f"Vault at {vault.mount}/{vault.prefix}"


def proof(token_file: Path | None, cert: Path | None, key: Path | None, role: str) -> Proof:
    """Who the operator is at Vault. Raises ConfigError where the options do not say it."""
    if token_file is not None and cert is None and key is None:
        return TokenFile(token_file.expanduser())
    if cert is not None and key is not None and token_file is None:
        return ClientCertificate(cert, key, role)
    raise ConfigError(
        "Vault must know who you are: give --token-file (0600; `vault login` writes ~/.vault-token), or "
        "--cert and --key; nothing is read from the environment"
    )
