"""OpenAI's admin API of project service accounts, as far as the broker needs it.

Knows: OpenAI's API reference, "Administration: Project service accounts" and "… service account API keys":
paths, bodies, replies, pages. Must not know: whose accounts these are, or when they end.

The admin key is leased for each request and held for none. Whatever goes wrong comes back as a SourceError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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


def _path(project: str, account: str = "") -> str:
    if not _ID.match(project):
        raise ValueError("a project is 1 to 128 letters, digits and _ -")
    path = f"/organization/projects/{project}/service_accounts"
    return f"{path}/{account}" if account else path


def _judged(answer: JsonResponse, *, gone: bool) -> JsonResponse | SourceError:
    if answer.good or (gone and answer.status == _NOT_FOUND):
        return answer
    cause = ErrorCode.FORBIDDEN if answer.status in {_UNAUTHORIZED, _FORBIDDEN} else ErrorCode.REJECTED
    return refused(cause, WHO, _REMEDIES[cause])
