"""An operator at Vault: with a token out of a 0600 file, or one had for a client certificate and given back.

Knows: where the operator's token comes from (nothing of the environment). Must not know: what it is used for.
Blocking.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hvac.api.auth_methods import Token as TokenApi  # type: ignore[import-untyped]

from broker.adapters.keyfile import read_private
from broker.adapters.vault.cluster import Cluster
from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.login import Certificate
from broker.adapters.vault.transport import VaultTransport
from broker.errors import BrokerError
from broker.model.secret import Secret

DEADLINE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token in a file that only its owner can read, e.g. the ~/.vault-token of `vault login`."""

    path: Path


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate and key (PEM) that the cert auth method at `mount` knows by `role`."""

    certificate: Path
    key: Path
    role: str
    mount: str = "cert"


Proof = TokenFile | ClientCertificate


@dataclass(frozen=True, slots=True)
class Operator:
    """Requests with the operator's token. Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE."""

    transport: VaultTransport
    token: Secret

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """Vault's answer. `path` without /v1/; underscores in header names mean hyphens."""
        adapter = HvacAdapter(self.transport, self.token, time.monotonic() + DEADLINE_SECONDS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return adapter.request(method, f"/v1/{path}", named, json=body)
        except VaultRefusedError as error:
            refusal = error.refusal
        raise _ours(refusal, path)

    def find(self, method: str, path: str) -> dict[str, Any] | None:
        """Vault's answer, or None where nothing is there."""
        adapter = HvacAdapter(self.transport, self.token, time.monotonic() + DEADLINE_SECONDS)
        try:
            return adapter.request(method, f"/v1/{path}")
        except VaultRefusedError as error:
            refusal = error.refusal
        if refusal.cause is VaultErrorCode.ABSENT:
            return None
        raise _ours(refusal, path)


@contextmanager
def operator(cluster: Cluster, proof: Proof) -> Iterator[Operator]:
    """An operator of `cluster`. A token that was had for a certificate is revoked at the end.

    Raises BrokerError, and OSError for files that cannot be read.
    """
    if isinstance(proof, ClientCertificate):
        cluster = replace(cluster, certificate=(proof.certificate, proof.key))
    transport = VaultTransport(cluster)
    try:
        if isinstance(proof, TokenFile):
            yield Operator(transport, _read(proof.path))
            return
        one = Operator(transport, _logged_in(transport, proof))
        try:
            yield one
        finally:
            _end(one)
    finally:
        transport.close()


def read_token(path: Path) -> Secret:
    """The token of a 0600 file. Raises RefusedError where there is none, BrokerError where others may read
    it, and OSError.
    """
    text = read_private(path).decode("ascii", errors="replace").strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise refused(VaultErrorCode.NO_LOGIN, "the token file holds no token", f"Put it into {path}.")
    return Secret(text)


def _read(path: Path) -> Secret:
    try:
        return read_token(path)
    except VaultRefusedError as error:
        refusal = error.refusal
    raise refusal.error()


def _logged_in(transport: VaultTransport, proof: ClientCertificate) -> Secret:
    login = Certificate(proof.certificate, proof.role, proof.mount)
    try:
        return Secret(login.login(transport, time.monotonic() + DEADLINE_SECONDS)["auth"]["client_token"])
    except (KeyError, TypeError):
        refusal = refused(VaultErrorCode.GARBLED, " to a login").refusal
    except VaultRefusedError as error:
        refusal = error.refusal
    raise refusal.error()


def _end(one: Operator) -> None:
    """Best effort: a token that cannot be revoked now expires by itself."""
    try:
        TokenApi(HvacAdapter(one.transport, one.token, time.monotonic() + DEADLINE_SECONDS)).revoke_self()
    except VaultRefusedError:
        return


def _ours(refusal: VaultError, path: str) -> BrokerError:
    """What is forbidden here is forbidden to the operator, not to the broker."""
    if refusal.cause is not VaultErrorCode.FORBIDDEN:
        return refusal.error()
    message = f"Vault does not let you use {path}: the token is dead, or its policies lack that path."
    return replace(refusal, message=message, remedy="Log in again, or as somebody who may.").error()
