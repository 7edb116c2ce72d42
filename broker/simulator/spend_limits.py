"""The admin API of hard spend limits, of a project and of the organization: retrieve, set, delete.

Knows: OpenAI's API reference, "Administration: Spend limits", as its Python SDK 3.54 also types it: bodies,
replies, whole US cents of a calendar month. Where none is set, its 404. Must not know: what was spent.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.simulator.api_error import ApiError
from broker.simulator.checks import closed_fields, integer, one_of
from broker.simulator.organization import Organization, SpendLimit
from broker.simulator.projects import project_of
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Request

_Operation = Callable[[Request, Organization], Reply]
_WANTED = ("threshold_amount", "currency", "interval")
_body = closed_fields(
    {"threshold_amount": integer(0), "currency": one_of("USD"), "interval": one_of("month")}, *_WANTED
)


def retrieve(request: Request, organization: Organization) -> Reply:
    """GET …/spend_limit."""
    project = _project(request, organization)
    limit = organization.spend_limits.get(project)
    if limit is None:
        raise _none(project)
    return ok(_shown(project, limit))


def update(request: Request, organization: Organization) -> Reply:
    """POST …/spend_limit: set for the first time, or anew."""
    project = _project(request, organization)
    _body(request.document, "")
    limit = SpendLimit(request.integer("threshold_amount") or 0)
    organization.spend_limits[project] = limit
    return ok(_shown(project, limit))


def delete(request: Request, organization: Organization) -> Reply:
    """DELETE …/spend_limit."""
    project = _project(request, organization)
    if organization.spend_limits.pop(project, None) is None:
        raise _none(project)
    return ok({"object": f"{_kind(project)}.spend_limit.deleted", "deleted": True})


_OF_ORGANIZATION = "/v1/organization/spend_limit"
_OF_PROJECT = "/v1/organization/projects/{}/spend_limit"
TABLE: dict[tuple[str, str], _Operation] = {
    (method, path): run
    for path in (_OF_ORGANIZATION, _OF_PROJECT)
    for method, run in (("GET", retrieve), ("POST", update), ("DELETE", delete))
}


def _kind(project: str | None) -> str:
    return "organization" if project is None else "project"


def _none(project: str | None) -> ApiError:
    return ApiError(404, f"No hard spend limit is configured for the {_kind(project)}.", code="not_found")


def _shown(project: str | None, limit: SpendLimit) -> dict[str, object]:
    return {
        "object": f"{_kind(project)}.spend_limit",
        "threshold_amount": limit.cents,
        "currency": "USD",
        "interval": "month",
        "enforcement": {"status": "enforcing" if limit.enforcing else "inactive"},
    }


def _project(request: Request, organization: Organization) -> str | None:
    """The project that the path names; None: the path is that of the organization."""
    return project_of(request, organization) if request.arguments else None
