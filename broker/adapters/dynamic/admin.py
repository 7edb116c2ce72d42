"""OpenAI's admin API of project service accounts, as far as the broker needs it.

Knows: OpenAI's API reference, "Administration: Project service accounts" and "… service account API keys":
paths, bodies, replies, pages. Must not know: whose accounts these are, or when they end.

The admin key is leased for each request and held for none. Whatever goes wrong comes back as a Refusal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from broker.adapters.shortlived import Answer, Asking, Cause, Refusal, refused
from broker.errors import BrokerError
from broker.model.secret import Secret
from broker.ports import KeyVault

WHO = "OpenAI's admin API"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_KEY = re.compile(r"[\x21-\x7e]{8,4096}\Z")
_PAGE = 100
_MOST_PAGES = 100
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_REMEDIES = {
    Cause.FORBIDDEN: "Check the admin key: it needs to read and write the organization's management.",
    Cause.REJECTED: "Check the project, the scopes and the longest key life that OpenAI allows it.",
}


class Account(msgspec.Struct, frozen=True):
    """A service account of a project."""

    id: str
    name: str


class _Page(msgspec.Struct, frozen=True):
    data: list[Account]
    has_more: bool


class _Key(msgspec.Struct, frozen=True):
    value: str


class AdminApi:
    """Speaks for the organization whose admin key `vault` has under the name `credential`."""

    def __init__(self, asking: Asking, vault: KeyVault, credential: str) -> None:
        self._asking = asking
        self._vault = vault
        self._credential = credential

    async def create(self, project: str, name: str) -> Account | Refusal:
        """An account without a key and without a role."""
        body = {"name": name, "create_service_account_only": True}
        answer = await self._ask("POST", _path(project), body)
        found = answer if isinstance(answer, Refusal) else answer.read(Account, WHO)
        if isinstance(found, Account) and (found.name != name or not _ID.match(found.id)):
            return refused(Cause.GARBLED, WHO)
        return found

    async def make_member(self, project: str, account: str) -> Refusal | None:
        """Gives the account the project's role `member`: without a role its keys open nothing."""
        answer = await self._ask("POST", _path(project, account), {"role": "member"})
        return answer if isinstance(answer, Refusal) else None

    async def create_key(
        self, project: str, account: str, scopes: Sequence[str], seconds: int
    ) -> Secret | Refusal:
        """A key of the account that ends after `seconds`. Without scopes it opens all that its role does."""
        body: dict[str, object] = {"name": "broker", "expires_in_seconds": seconds}
        if scopes:
            body["scopes"] = list(scopes)
        answer = await self._ask("POST", f"{_path(project, account)}/api_keys", body)
        found = answer if isinstance(answer, Refusal) else answer.read(_Key, WHO)
        if isinstance(found, Refusal):
            return found
        return Secret(found.value) if _KEY.match(found.value) else refused(Cause.GARBLED, WHO)

    async def delete(self, project: str, account: str) -> Refusal | None:
        """Ends the account and its keys; one that is gone already counts as ended."""
        answer = await self._ask("DELETE", _path(project, account), gone=True)
        return answer if isinstance(answer, Refusal) else None

    async def accounts(self, project: str) -> list[Account] | Refusal:
        """All of the project's, whoever made them."""
        found: list[Account] = []
        query = f"?limit={_PAGE}"
        for _ in range(_MOST_PAGES):
            answer = await self._ask("GET", _path(project) + query)
            page = answer if isinstance(answer, Refusal) else answer.read(_Page, WHO)
            if isinstance(page, Refusal):
                return page
            found += (account for account in page.data if _ID.match(account.id))
            if not page.has_more:
                return found
            if not page.data or not _ID.match(page.data[-1].id):
                break
            query = f"?limit={_PAGE}&after={page.data[-1].id}"
        return refused(Cause.GARBLED, WHO)

    async def aclose(self) -> None:
        await self._asking.aclose()

    async def _ask(
        self, method: str, path: str, document: Mapping[str, object] | None = None, *, gone: bool = False
    ) -> Answer | Refusal:
        try:
            lease = await self._vault.lease(self._credential)
        except BrokerError as error:
            why = Refusal(Cause.NO_ADMIN_KEY, f"No admin key: {error.message}", error.remedy)
        else:
            answer = await self._asking.ask(method, path, document=document, bearer=lease.secret)
            return answer if isinstance(answer, Refusal) else _judged(answer, gone=gone)
        return why


def _path(project: str, account: str = "") -> str:
    if not _ID.match(project):
        raise ValueError("a project is 1 to 128 letters, digits and _ -")
    path = f"/organization/projects/{project}/service_accounts"
    return f"{path}/{account}" if account else path


def _judged(answer: Answer, *, gone: bool) -> Answer | Refusal:
    if answer.good or (gone and answer.status == _NOT_FOUND):
        return answer
    cause = Cause.FORBIDDEN if answer.status in {_UNAUTHORIZED, _FORBIDDEN} else Cause.REJECTED
    return refused(cause, WHO, _REMEDIES[cause])
