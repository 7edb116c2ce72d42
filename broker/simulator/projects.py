"""Which project a path of the admin API names.

Knows: OpenAI's error for one that is not there. Must not know: what is asked of it.
"""

from __future__ import annotations

from broker.simulator.api_error import ApiError
from broker.simulator.organization import Organization
from broker.simulator.request import Request


def project_of(request: Request, organization: Organization) -> str:
    """The first hole of the path. Raises ApiError 404 for a project that the organization does not have."""
    project = request.arguments[0]
    if project not in organization.projects:
        raise ApiError(404, f"No project found with id '{project}'.", code="not_found")
    return project
