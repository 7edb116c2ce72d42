"""The admin API of project service accounts: create, list, retrieve, update, delete, and their keys.

Knows: OpenAI's API reference, "Administration: Project service accounts" and "… service account API keys"
(`/v1/organization/projects/{project_id}/service_accounts…`), as its Python SDK 3.54 also types it: bodies,
replies, the range of `expires_in_seconds` (1 – 31,536,000; none with `create_service_account_only`), the role
`none` of an account made without a key, `api_key.value` shown once, pages of 1 – 100 by `after`.
Must not know: what keys open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from broker.simulator.api_error import ApiError
from broker.simulator.checks import array, boolean, closed_fields, integer, one_of, string
from broker.simulator.listing import page
from broker.simulator.organization import Account, Credential, Organization, Role
from broker.simulator.projects import project_of
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Request
from broker.simulator.scopes import KEY_SCOPES

_LONGEST_SECONDS = 31_536_000
_KIND = "organization.project.service_account"
_seconds = integer(1, _LONGEST_SECONDS)
_create_body = closed_fields(
    {"name": string(), "create_service_account_only": boolean, "expires_in_seconds": _seconds}, "name"
)
_update_body = closed_fields({"name": string(), "role": one_of("member", "owner")})
_key_body = closed_fields(
    {
        "name": string(),
        "expires_in_seconds": _seconds,
        "scopes": array(one_of(*sorted(KEY_SCOPES)), "strings"),
    }
)


def create(request: Request, organization: Organization) -> Reply:
    """POST …/service_accounts."""
    project = project_of(request, organization)
    _create_body(request.document, "")
    seconds = request.integer("expires_in_seconds")
    alone = request.document.get("create_service_account_only") is True
    if alone and seconds is not None:
        raise ApiError(
            400,
            "'expires_in_seconds' cannot be used when 'create_service_account_only' is true.",
            param="expires_in_seconds",
            code="invalid_value",
        )
    account = organization.add_account(project, request.text("name"), "none" if alone else "member")
    key = None if alone else organization.add_key(account, "Secret Key", seconds, None)
    return ok({**_shown(account), "api_key": None if key is None else _shown_key(key)})


def list_accounts(request: Request, organization: Organization) -> Reply:
    """GET …/service_accounts."""
    accounts = organization.of_project(project_of(request, organization))
    return ok(page([_shown(account) for account in accounts], request, order="asc"))


def retrieve(request: Request, organization: Organization) -> Reply:
    """GET …/service_accounts/{id}."""
    return ok(_shown(_account(request, organization)))


def update(request: Request, organization: Organization) -> Reply:
    """POST …/service_accounts/{id}."""
    account = _account(request, organization)
    _update_body(request.document, "")
    role = cast(Role | None, request.document.get("role"))
    return ok(_shown(organization.change_account(account, name=request.text("name") or None, role=role)))


def delete(request: Request, organization: Organization) -> Reply:
    """DELETE …/service_accounts/{id}: its keys open nothing any more."""
    account = _account(request, organization)
    organization.delete_account(account)
    return ok({"object": f"{_KIND}.deleted", "id": account.id, "deleted": True})


def create_key(request: Request, organization: Organization) -> Reply:
    """POST …/service_accounts/{id}/api_keys."""
    account = _account(request, organization)
    _key_body(request.document, "")
    name = request.text("name") or "Secret Key"
    scopes = cast(list[str] | None, request.document.get("scopes"))
    key = organization.add_key(account, name, request.integer("expires_in_seconds"), scopes)
    return ok(_shown_key(key))


_ACCOUNTS = "/v1/organization/projects/{}/service_accounts"
TABLE: dict[tuple[str, str], Callable[[Request, Organization], Reply]] = {
    ("POST", _ACCOUNTS): create,
    ("GET", _ACCOUNTS): list_accounts,
    ("GET", _ACCOUNTS + "/{}"): retrieve,
    ("POST", _ACCOUNTS + "/{}"): update,
    ("DELETE", _ACCOUNTS + "/{}"): delete,
    ("POST", _ACCOUNTS + "/{}/api_keys"): create_key,
}


def _shown(account: Account) -> dict[str, object]:
    return {
        "object": _KIND,
        "id": account.id,
        "name": account.name,
        "role": account.role,
        "created_at": account.created_at,
    }


def _shown_key(key: Credential) -> dict[str, object]:
    return {
        "object": f"{_KIND}.api_key",
        "id": key.id,
        "name": key.name,
        "created_at": key.created_at,
        "expires_at": None if key.expires_at is None else int(key.expires_at),
        "value": key.value,
    }


def _account(request: Request, organization: Organization) -> Account:
    account = organization.accounts.get(request.arguments[1])
    if account is None or account.project != project_of(request, organization):
        raise ApiError(404, f"No service account found with id '{request.arguments[1]}'.", code="not_found")
    return account
