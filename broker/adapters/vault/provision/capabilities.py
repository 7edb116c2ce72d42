"""What a login gives the broker in Vault: which lines of its policy it has, which it lacks, what is too much.

Knows: sys/capabilities-self, and paths that no broker should reach. Must not know: how it is reported.
Blocking; `compared` is pure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hvac.api.auth_methods import Token as TokenApi  # type: ignore[import-untyped]
from hvac.api.secrets_engines import KvV2  # type: ignore[import-untyped]

from broker.adapters.vault.cluster import Cluster
from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.keys import read_key
from broker.adapters.vault.login import AppRole, Login
from broker.adapters.vault.operator import TokenFile, read_token
from broker.adapters.vault.provision.grants import PathGrant, VaultNames, concrete
from broker.adapters.vault.transport import VaultTransport
from broker.model.secret import Lease, Secret

CAPABILITIES = "sys/capabilities-self"
_DEADLINE_SECONDS = 10.0
_NOTHING = frozenset({"deny"})
_ROOT = "root"

Capabilities = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the policy. `lacks` and `exceeds` are capabilities; both empty: it is as it should be."""

    grant: PathGrant
    lacks: frozenset[str]
    exceeds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rights:
    """All lines, and what was found at paths that are none of a broker's business."""

    lines: tuple[Line, ...]
    beyond: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Examiner:
    """The broker's login, or the token of a file, for the length of a `with` block; a token that was had here
    is revoked at its end. Raises BrokerError for a token file that others may read, and OSError.
    """

    def __init__(self, cluster: Cluster, by: Login | TokenFile, names: VaultNames) -> None:
        self._transport = VaultTransport(cluster)
        self._by = by
        self._names = names
        self._token: Secret | None = None

    def __enter__(self) -> Examiner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None and not isinstance(self._by, TokenFile):
            with suppress(VaultRefusedError):
                TokenApi(HvacAdapter(self._transport, self._token, _deadline())).revoke_self()
        self._transport.close()

    def log_in(self) -> VaultError | None:
        """Why there is no token, or None. All else needs it first."""
        try:
            if isinstance(self._by, TokenFile):
                self._token = read_token(self._by.path)
            else:
                self._token = Secret(self._by.login(self._transport, _deadline())["auth"]["client_token"])
        except (KeyError, TypeError):
            return refused(VaultErrorCode.GARBLED, " to a login").refusal
        except VaultRefusedError as error:
            return error.refusal
        return None

    def rights(self, grants: Sequence[PathGrant], credential: str) -> Rights | VaultError:
        """What the token may do, or why Vault does not say."""
        paths = [concrete(grant, credential).path for grant in grants]
        paths += _forbidden(self._names, credential)
        try:
            answer = self._adapter().request("post", f"/v1/{CAPABILITIES}", json={"paths": paths})
            return compared(grants, self._names, credential, _parsed(answer))
        except VaultRefusedError as error:
            return error.refusal

    def key(self, credential: str) -> Lease | VaultError:
        """The credential's key, read as for a call."""
        path = f"{self._names.prefix}/{credential}"
        try:
            return read_key(KvV2(self._adapter()), self._names.mount, path)
        except VaultRefusedError as error:
            return error.refusal

    def _adapter(self) -> HvacAdapter:
        return HvacAdapter(self._transport, self._token, _deadline())


def wrapped_secret_id(cluster: Cluster, login: AppRole) -> VaultError | None:
    """Why the file's wrapped secret id could not be opened now, or None. It is not opened."""
    transport = VaultTransport(cluster)
    try:
        login.look(transport, _deadline())
    except VaultRefusedError as error:
        return error.refusal
    finally:
        transport.close()
    return None


def compared(grants: Sequence[PathGrant], names: VaultNames, credential: str, found: Capabilities) -> Rights:
    """The policy, line by line, against what Vault says of one credential's paths."""
    lines = []
    for grant in grants:
        has = found.get(concrete(grant, credential).path, _NOTHING) - _NOTHING
        wanted = frozenset(grant.capabilities)
        lines.append(Line(grant, frozenset() if _ROOT in has else wanted - has, has - wanted))
    tolerated = {
        f"{names.mount}/metadata/{names.prefix}/": frozenset({"read"}),  # the line's star matches it
        names.certifying("keys"): frozenset({"read"}),  # a line of the policy: public halves
    }
    beyond = {
        path: found.get(path, _NOTHING) - _NOTHING - tolerated.get(path, frozenset())
        for path in _forbidden(names, credential)
    }
    return Rights(tuple(lines), {path: has for path, has in beyond.items() if has})


def _forbidden(names: VaultNames, credential: str) -> list[str]:
    """With any of these a stolen broker token would be worth more than the keys that the broker leases."""
    return [
        f"{names.mount}/data/not-of-the-broker",
        f"{names.mount}/metadata/{names.prefix}/",
        f"{names.mount}/delete/{names.prefix}/{credential}",
        f"{names.mount}/destroy/{names.prefix}/{credential}",
        f"{names.mount}/undelete/{names.prefix}/{credential}",
        names.certifying("export/signing-key"),
        names.certifying("keys"),
        f"{names.pki}/root/generate/internal",
        f"auth/{names.approle}/role/{names.role}",
        f"auth/{names.approle}/role/{names.role}/secret-id",
        "auth/token/create",
        "cubbyhole/broker",  # with it, Vault's default policy has been left on
        "identity/entity",
        "sys/audit",
        "sys/auth",
        "sys/mounts",
        "sys/raw/core",
        "sys/seal",
        f"sys/policies/acl/{names.role}",
    ]


def _parsed(answer: dict[str, Any]) -> Capabilities:
    try:
        shown = msgspec.convert(answer.get("data"), dict[str, object])
        listed = {path: value for path, value in shown.items() if isinstance(value, list)}
        return msgspec.convert(listed, dict[str, frozenset[str]])
    except msgspec.ValidationError:
        pass
    raise refused(VaultErrorCode.GARBLED)


def _deadline() -> float:
    return time.monotonic() + _DEADLINE_SECONDS
