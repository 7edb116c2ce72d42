"""OpenAI's admin API, as far as the broker needs it: project service accounts, and hard spend limits.

Knows: OpenAI's API reference, "Administration: Project service accounts", "… service account API keys" and
"Spend limits": paths, bodies, replies, pages. Must not know: whose accounts these are, or when they end; what
the policies allow.

The admin key is leased for each request and held for none. Whatever goes wrong comes back as a SourceError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from broker.adapters.ephemeral_keys import ErrorCode, JsonHttpClient, JsonResponse, SourceError, refused
from broker.errors import BrokerError
from broker.model.secret import Secret
from broker.ports import CredentialSource

WHO = "OpenAI's admin API"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_KEY = re.compile(r"[\x21-\x7e]{8,4096}\Z")
_PAGE = 100
_MOST_PAGES = 100
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_REMEDIES = {
    ErrorCode.FORBIDDEN: "Check the admin key: it needs to read and write the organization's management.",
    ErrorCode.REJECTED: "Check the project, the scopes and the longest key life that OpenAI allows it.",
}


class Account(msgspec.Struct, frozen=True):
    """A service account of a project."""

    id: str
    name: str


class _Page(msgspec.Struct, frozen=True):
    data: list[Account]
    has_more: bool


class _AccountKey(msgspec.Struct, frozen=True):
    value: str


class _Enforcement(msgspec.Struct, frozen=True):
    status: Literal["inactive", "enforcing"]


class _SpendLimit(msgspec.Struct, frozen=True):
    threshold_amount: int
    currency: str
    interval: Literal["month"]
    enforcement: _Enforcement


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """At most so many US cents in a calendar month. `enforcing`: they are spent, and OpenAI refuses calls."""

    cents: int
    enforcing: bool


class AdminApi:
    """Speaks for the organization whose admin key `source` has under the name `credential`."""

    def __init__(self, client: JsonHttpClient, source: CredentialSource, credential: str) -> None:
        self._client = client
        self._source = source
        self._credential = credential

    async def create(self, project: str, name: str) -> Account | SourceError:
        """An account without a key and without a role."""
        body = {"name": name, "create_service_account_only": True}
        answer = await self._ask("POST", _path(project), body)
        found = answer if isinstance(answer, SourceError) else answer.read(Account, WHO)
        if isinstance(found, Account) and (found.name != name or not _ID.match(found.id)):
            return refused(ErrorCode.GARBLED, WHO)
        return found

    async def make_member(self, project: str, account: str) -> SourceError | None:
        """Gives the account the project's role `member`: without a role its keys open nothing."""
        answer = await self._ask("POST", _path(project, account), {"role": "member"})
        return answer if isinstance(answer, SourceError) else None

    async def create_key(
        self, project: str, account: str, scopes: Sequence[str], seconds: int
    ) -> Secret | SourceError:
        """A key of the account that ends after `seconds`. Without scopes it opens all that its role does."""
        body: dict[str, object] = {"name": "broker", "expires_in_seconds": seconds}
        if scopes:
            body["scopes"] = list(scopes)
        answer = await self._ask("POST", f"{_path(project, account)}/api_keys", body)
        found = answer if isinstance(answer, SourceError) else answer.read(_AccountKey, WHO)
        if isinstance(found, SourceError):
            return found
        return Secret(found.value) if _KEY.match(found.value) else refused(ErrorCode.GARBLED, WHO)

    async def delete(self, project: str, account: str) -> SourceError | None:
        """Ends the account and its keys; one that is gone already counts as ended."""
        answer = await self._ask("DELETE", _path(project, account), gone=True)
        return answer if isinstance(answer, SourceError) else None

    async def accounts(self, project: str) -> list[Account] | SourceError:
        """All of the project's, whoever made them."""
        found: list[Account] = []
        query = f"?limit={_PAGE}"
        for _ in range(_MOST_PAGES):
            answer = await self._ask("GET", _path(project) + query)
            page = answer if isinstance(answer, SourceError) else answer.read(_Page, WHO)
            if isinstance(page, SourceError):
                return page
            found += (account for account in page.data if _ID.match(account.id))
            if not page.has_more:
                return found
            if not page.data or not _ID.match(page.data[-1].id):
                break
            query = f"?limit={_PAGE}&after={page.data[-1].id}"
        return refused(ErrorCode.GARBLED, WHO)

    async def spend_limit(self, project: str | None) -> SpendLimit | SourceError | None:
        """The hard spend limit of a project, or of the organization where `project` is None. None: OpenAI
        knows of none, or not of the project.
        """
        owner = "/organization" if project is None else _project(project)
        answer = await self._ask("GET", f"{owner}/spend_limit", gone=True)
        if isinstance(answer, SourceError):
            return answer
        return _limit(answer) if answer.good else None

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ask(
        self, method: str, path: str, document: Mapping[str, object] | None = None, *, gone: bool = False
    ) -> JsonResponse | SourceError:
        try:
            lease = await self._source.lease(self._credential)
        except BrokerError as error:
            why = SourceError(ErrorCode.NO_ADMIN_KEY, f"No admin key: {error.message}", error.remedy)
        else:
            answer = await self._client.ask(method, path, document=document, bearer=lease.secret)
            return answer if isinstance(answer, SourceError) else _judged(answer, gone=gone)
        return why


def _project(project: str) -> str:
    if not _ID.match(project):
        raise ValueError("a project is 1 to 128 letters, digits and _ -")
    return f"/organization/projects/{project}"


def _path(project: str, account: str = "") -> str:
    path = f"{_project(project)}/service_accounts"
    return f"{path}/{account}" if account else path


def _limit(answer: JsonResponse) -> SpendLimit | SourceError:
    found = answer.read(_SpendLimit, WHO)
    if isinstance(found, SourceError):
        return found
    if found.currency.upper() != "USD" or found.threshold_amount < 0:
        return refused(ErrorCode.GARBLED, WHO)
    return SpendLimit(found.threshold_amount, found.enforcement.status == "enforcing")


def _judged(answer: JsonResponse, *, gone: bool) -> JsonResponse | SourceError:
    if answer.good or (gone and answer.status == _NOT_FOUND):
        return answer
    cause = ErrorCode.FORBIDDEN if answer.status in {_UNAUTHORIZED, _FORBIDDEN} else ErrorCode.REJECTED
    return refused(cause, WHO, _REMEDIES[cause])
