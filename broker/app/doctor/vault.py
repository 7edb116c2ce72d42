"""Vault: does it answer, may the broker log in, and has it each line of its policy and no more.

Knows: which check a finding becomes. Must not know: requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from broker.adapters.vault import AppRole, Login
from broker.adapters.vault.errors import VaultError, VaultErrorCode
from broker.adapters.vault.operator import TokenFile
from broker.adapters.vault.provision.capabilities import (
    CAPABILITIES,
    Examiner,
    Line,
    Rights,
    wrapped_secret_id,
)
from broker.adapters.vault.provision.grants import Need, PathGrant, VaultNames, broker_policy
from broker.app.doctor.admin_key import AdminKey
from broker.app.doctor.check import Check, Level
from broker.app.from_vault import cluster, login
from broker.config import Settings, VaultSettings
from broker.errors import BrokerError
from broker.model.secret import Lease

_SUBJECT = "vault"


@dataclass(frozen=True, slots=True)
class VaultProof:
    """With what the doctor asks where the broker logs in by AppRole: its own wrapped secret id opens once."""

    token_file: Path | None = None
    wrapped_secret_id: Path | None = None


def check_vault(
    settings: Settings,
    proof: VaultProof,
    credentials: Sequence[str],
    named: Sequence[str],
    admin_key: AdminKey,
) -> Iterator[Check]:
    """The login, the policy and each key: `credentials` must be there, `named` are those that the broker's
    own policies name besides. `admin_key` is shown each that is there. Blocking.
    """
    vault = settings.vault
    where, by = cluster(vault), login(vault)
    if isinstance(by, AppRole):
        refusal = wrapped_secret_id(where, by)
        yield _wrapped(refusal, by)
        if refusal is not None and refusal.cause is not VaultErrorCode.NO_LOGIN:
            return
    asking = _asking(by, proof)
    if asking is None:
        yield Check(
            _SUBJECT,
            Level.UNKNOWN,
            "The permissions were not looked at: the broker's wrapped secret id can be opened only once.",
            "Give the doctor its own (--wrapped-secret-id), or a token with that policy (--token-file).",
        )
        return
    try:
        with Examiner(where, asking, names_of(vault)) as examiner:
            yield from _examined(examiner, settings, credentials, admin_key)
            yield from _named(examiner, named if settings.keys.adapter == "vault" else ())
    except (BrokerError, OSError) as error:
        yield Check(_SUBJECT, Level.BAD, str(error))


def _examined(
    examiner: Examiner, settings: Settings, credentials: Sequence[str], admin_key: AdminKey
) -> Iterator[Check]:
    refusal = examiner.log_in()
    if refusal is not None:
        yield Check(_SUBJECT, Level.BAD, refusal.message, refusal.remedy)
        return
    grants = needed(settings)
    leased = settings.keys.adapter == "vault"
    for credential in credentials if leased else credentials[:1]:
        found = examiner.rights(grants, credential)
        yield from _refused(found, grants) if isinstance(found, VaultError) else _found(found)
        if not leased:
            return
        key = examiner.key(credential)
        if isinstance(key, VaultError):
            yield Check(_SUBJECT, Level.BAD, key.message, key.remedy)
        else:
            admin_key.shown(credential, key)
            yield _leased(credential, key)


def _named(examiner: Examiner, credentials: Sequence[str]) -> Iterator[Check]:
    """A call that they decide for is refused without it, and no other; so it is told, as of another store."""
    for credential in credentials:
        key = examiner.key(credential)
        if isinstance(key, VaultError):
            yield Check(_SUBJECT, Level.WARNING, f"Policies name {credential!r}. {key.message}", key.remedy)
        else:
            yield _leased(credential, key)


def _leased(credential: str, key: Lease) -> Check:
    return Check(_SUBJECT, Level.GOOD, f"The key {credential} can be leased, version {key.key_version}.")


def names_of(vault: VaultSettings) -> VaultNames:
    """What the configuration calls things; AppRole's role is not in it, because a role id is."""
    usual = VaultNames(
        mount=vault.mount.strip("/"),
        prefix=vault.prefix.strip("/"),
        role=vault.role,
        transit=vault.transit_mount.strip("/"),
        certifier=vault.transit_name,
        pki=vault.pki_mount.strip("/"),
        listeners=vault.pki_role or "",
    )
    return replace(usual, approle=vault.auth_mount or "approle") if vault.auth == "approle" else usual


def needed(settings: Settings) -> tuple[PathGrant, ...]:
    """The lines of the policy that this configuration needs."""
    uses = {
        Need.ANY: True,
        Need.KEYS: settings.keys.adapter == "vault",
        Need.CERTIFY: settings.vault.certify,
        Need.LISTENERS: settings.vault.pki_role is not None,
    }
    return tuple(grant for grant in broker_policy(names_of(settings.vault)).grants if uses[grant.need])


def _asking(by: Login, proof: VaultProof) -> Login | TokenFile | None:
    if proof.token_file is not None:
        return TokenFile(proof.token_file)
    if not isinstance(by, AppRole):
        return by
    if proof.wrapped_secret_id is not None:
        return AppRole(by.role_id, proof.wrapped_secret_id, by.mount)
    return None


def _wrapped(refusal: VaultError | None, by: AppRole) -> Check:
    if refusal is None:
        return Check(
            _SUBJECT, Level.GOOD, f"Vault answers; {by.wrapped_secret_id} holds a secret id to be opened."
        )
    if refusal.cause is VaultErrorCode.NO_LOGIN:
        remedy = f"{refusal.remedy} A broker that runs and opened it itself goes on."
        return Check(_SUBJECT, Level.WARNING, f"A broker could not start now. {refusal.message}", remedy)
    return Check(_SUBJECT, Level.BAD, refusal.message, refusal.remedy)


def _refused(refusal: VaultError, grants: Sequence[PathGrant]) -> Iterator[Check]:
    """The login failed, or the question was forbidden: then that very line is missing."""
    asked = next(grant for grant in grants if grant.path == CAPABILITIES)
    if refusal.cause is VaultErrorCode.FORBIDDEN:
        yield _missing(Line(asked, frozenset(asked.capabilities), frozenset()))
        yield Check(
            _SUBJECT, Level.UNKNOWN, "The other lines of the policy were not looked at without that one."
        )
    else:
        yield Check(_SUBJECT, Level.BAD, refusal.message, refusal.remedy)


def _found(found: Rights) -> Iterator[Check]:
    for line in found.lines:
        if line.lacks:
            yield _missing(line)
        elif line.exceeds:
            yield _too_much(line.grant.path, line.exceeds)
        else:
            yield Check(_SUBJECT, Level.GOOD, f"The policy has {line.grant.stanza}")
    for path, has in found.beyond.items():
        yield _too_much(path, has)


def _missing(line: Line) -> Check:
    told = f"The policy lacks {', '.join(sorted(line.lacks))} on {line.grant.path}."
    return Check(_SUBJECT, Level.BAD, told, f"Add this line: {line.grant.stanza}")


def _too_much(path: str, has: frozenset[str]) -> Check:
    told = f"The broker has too much power: {', '.join(sorted(has))} on {path}."
    return Check(_SUBJECT, Level.WARNING, told, "Take it out of its policies; see deploy/vault/broker.hcl.")
