"""Why Vault gave nothing, as a value: no exception of a library, hence no request or answer, hangs on it.

Knows: the causes and what to do about each. Must not know: HTTP libraries, keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from broker.errors import BrokerError, store_unavailable

RETRY_SECONDS = 2.0


class VaultErrorCode(StrEnum):
    """One word per row of what can go wrong; logs show it."""

    UNREACHABLE = "unreachable"  # surely not acted upon: the next address may be asked
    UNTRUSTED = "untrusted"
    SLOW = "slow"
    SEALED = "sealed"
    BUSY = "busy"
    BROKEN = "broken"
    GARBLED = "garbled"
    ELSEWHERE = "elsewhere"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    NO_LOGIN = "no_login"
    ABSENT = "absent"
    UNUSABLE = "unusable"
    UNFIT = "unfit"
    QUARANTINED = "quarantined"


_TEXTS: dict[VaultErrorCode, tuple[str, str]] = {
    VaultErrorCode.UNREACHABLE: (
        "Vault cannot be reached.",
        "Check that it runs, and that its addresses in the configuration are right.",
    ),
    VaultErrorCode.UNTRUSTED: (
        "The TLS connection to Vault fails{}.",
        "Check the CA in the configuration, Vault's certificate, and the client certificate, if any.",
    ),
    VaultErrorCode.SLOW: ("Vault did not answer in time.", "Check its load and the network between."),
    VaultErrorCode.SEALED: ("Vault is sealed or in maintenance (503).", "Unseal it: vault operator unseal"),
    VaultErrorCode.BUSY: (
        "Vault takes no more requests for now (429).",
        "Raise the rate limit quota of the broker.",
    ),
    VaultErrorCode.BROKEN: ("Vault failed{}.", "Look into Vault's own log."),
    VaultErrorCode.GARBLED: (
        "Vault's answer{} is not what its API gives.",
        "Check that the address is Vault's, without a proxy in between, and that the mount is KV version 2.",
    ),
    VaultErrorCode.ELSEWHERE: (
        "Vault redirects to an address that is not of its cluster.",
        "Where that address is Vault's own, add it to the addresses in the configuration.",
    ),
    VaultErrorCode.FORBIDDEN: (
        "Vault does not let the broker use {}.",
        "Give that path to the broker's policy, as deploy/vault/broker.hcl does.",
    ),
    VaultErrorCode.REJECTED: (
        "Vault rejects what it is asked at {} (400).",
        "Check the mount in the configuration.",
    ),
    VaultErrorCode.NO_LOGIN: ("Vault does not log the broker in: {}.", "Check the role; then issue {} anew."),
    VaultErrorCode.ABSENT: ("Vault has no key at {}.", "Write one: vault kv put {} key=-"),
    VaultErrorCode.UNUSABLE: (
        "The key at {} is not 8 to 4096 visible ASCII characters in the field `key`.",
        "Write it again: vault kv put {} key=-",
    ),
    VaultErrorCode.UNFIT: (
        "{} is not an Ed25519 key that cannot leave Vault.",
        "Make one under another name, with exportable, allow_plaintext_backup and derived off, as "
        "deploy/vault/README.md does; then set vault.transit_name.",
    ),
    VaultErrorCode.QUARANTINED: (
        "The key at {} is quarantined.",
        "Give another: broker keys rotate. Or, where it may be used again: broker keys release",
    ),
}


@dataclass(frozen=True, slots=True)
class VaultError:
    """What was refused and what to try; `retry_after` in seconds where Vault itself named a time."""

    cause: VaultErrorCode
    message: str
    remedy: str
    retry_after: float | None = None

    @property
    def gone(self) -> bool:
        """Vault said it of the key itself: a held copy must not be used. All else is Vault's trouble."""
        return self.cause in {VaultErrorCode.ABSENT, VaultErrorCode.UNUSABLE, VaultErrorCode.QUARANTINED}

    def error(self) -> BrokerError:
        """A new CREDENTIAL_STORE_UNAVAILABLE; nothing is chained to it."""
        return store_unavailable(self.message, self.remedy, self.retry_after or RETRY_SECONDS)


class VaultRefusedError(Exception):
    """Carries a VaultError to the edge of the thread: there it becomes a value, and its frames end."""

    def __init__(self, refusal: VaultError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refused(
    cause: VaultErrorCode, about: str = "", remedy: str = "", retry_after: float | None = None
) -> VaultRefusedError:
    """The texts of `cause`, with `about` in its place. Never put there what Vault or a file said."""
    message, usual = _TEXTS[cause]
    return VaultRefusedError(
        VaultError(cause, message.format(about), remedy or usual.format(about), retry_after)
    )
