"""One simulated organization: projects, service accounts, their keys and tokens, and what happened to them.

Knows: who has which credential, until when and for what. Must not know: HTTP, JSON, JWTs.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from broker.simulator.request_log import RequestLog
from broker.simulator.scopes import ADMIN_SCOPES, KEY_SCOPES, Rights

Role = Literal["owner", "member", "none"]
What = Literal["account_created", "role_changed", "key_created", "token_issued", "account_deleted"]


@dataclass(frozen=True, slots=True)
class Account:
    """A service account of one project. With the role `none` its keys open nothing."""

    id: str
    project: str
    name: str
    role: Role
    created_at: int


@dataclass(frozen=True, slots=True)
class Credential:
    """A key, or an access token, of an account; `value` opens the API. Times are unix seconds."""

    id: str
    account: str
    name: str
    created_at: int
    expires_at: float | None
    scopes: frozenset[str]
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """A hard spend limit of a calendar month. `enforcing`: it was reached, and calls are refused."""

    cents: int
    enforcing: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; never with a value. `credential` is its id, `expires_at` its end."""

    time: float
    what: What
    account: Account
    credential: str | None = None
    expires_at: float | None = None


def random_value(account: Account, prefix: str) -> str:
    """A value nobody has seen before."""
    del account
    return f"{prefix}-{secrets.token_urlsafe(36)}"


class Organization:
    """What the admin API and the token endpoint work on. `now` tells unix time; `new_value` makes the values
    of keys and tokens. `trouble` are overrides (`503`, `cut`, `slow-first-byte:3000` …) that befall every
    request to the admin API and the token endpoint; what these received is in `request_log`. `spend_limits`
    are those of projects, and under None that of the organization.
    """

    def __init__(
        self,
        *,
        admin_keys: Iterable[str] = (),
        projects: Iterable[str] = (),
        now: Callable[[], float] = time.time,
        new_value: Callable[[Account, str], str] = random_value,
    ) -> None:
        self.projects = frozenset(projects)
        self.accounts: dict[str, Account] = {}
        self.events: list[Event] = []
        self.spend_limits: dict[str | None, SpendLimit] = {}
        self.request_log = RequestLog()
        self.trouble = ""
        self.now = now
        self._admin_keys = frozenset(admin_keys)
        self._new_value = new_value
        self._credentials: dict[str, Credential] = {}

    def rights(self, value: str) -> Rights | None:
        """What the bearer of `value` may do now; None where it opens nothing (any more)."""
        if value in self._admin_keys:
            return Rights(ADMIN_SCOPES)
        credential = self._credentials.get(value)
        if credential is None or not self._alive(credential):
            return None
        role = self.accounts[credential.account].role
        return Rights(frozenset() if role == "none" else credential.scopes)

    def live(self, account: Account) -> list[Credential]:
        """The account's keys and tokens that open something now."""
        return [
            credential
            for credential in self._credentials.values()
            if credential.account == account.id and self._alive(credential)
        ]

    def of_project(self, project: str) -> list[Account]:
        """Its accounts, oldest first."""
        return [account for account in self.accounts.values() if account.project == project]

    def add_account(self, project: str, name: str, role: Role, account_id: str = "") -> Account:
        account_id = account_id or f"svc_acct_{secrets.token_hex(12)}"
        account = Account(account_id, project, name, role, int(self.now()))
        self.accounts[account.id] = account
        self._tell("account_created", account)
        return account

    def change_account(self, account: Account, *, name: str | None, role: Role | None) -> Account:
        changed = replace(account, name=name or account.name, role=role or account.role)
        self.accounts[account.id] = changed
        self._tell("role_changed", changed)
        return changed

    def delete_account(self, account: Account) -> None:
        """Its keys and tokens open nothing from now on."""
        del self.accounts[account.id]
        self._tell("account_deleted", account)

    def add_key(
        self, account: Account, name: str, seconds: int | None, scopes: Iterable[str] | None
    ) -> Credential:
        """A key that ends after `seconds` and opens `scopes`; None stands for no end, and for all."""
        value = self._new_value(account, "sk-svcacct")
        return self._add("key_created", "key", account, name, seconds, scopes, value)

    def add_token(self, account: Account, seconds: float, scopes: Iterable[str] | None) -> Credential:
        """An access token."""
        value = self._new_value(account, "at-simulated")
        return self._add("token_issued", "at", account, "access token", seconds, scopes, value)

    def _add(
        self,
        what: What,
        prefix: str,
        account: Account,
        name: str,
        seconds: float | None,
        scopes: Iterable[str] | None,
        value: str,
    ) -> Credential:
        now = self.now()
        credential = Credential(
            id=f"{prefix}_{secrets.token_hex(12)}",
            account=account.id,
            name=name,
            created_at=int(now),
            expires_at=None if seconds is None else now + seconds,
            scopes=KEY_SCOPES if scopes is None else frozenset(scopes),
            value=value,
        )
        self._credentials[value] = credential
        self._tell(what, account, credential)
        return credential

    def _alive(self, credential: Credential) -> bool:
        ended = credential.expires_at is not None and credential.expires_at <= self.now()
        return credential.account in self.accounts and not ended

    def _tell(self, what: What, account: Account, credential: Credential | None = None) -> None:
        known = (None, None) if credential is None else (credential.id, credential.expires_at)
        self.events.append(Event(self.now(), what, account, *known))
