"""Which scope of a key each operation needs, and what a bearer may do.

Knows: the scopes' names as OpenAI's errors tell them (`Missing scopes: model.request`, `api.responses.write`,
`api.model.read`). Must not know: where keys come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.simulator import api_error

REQUEST = "model.request"
MODELS_READ, MODELS_WRITE = "api.model.read", "api.model.write"
RESPONSES_READ, RESPONSES_WRITE = "api.responses.read", "api.responses.write"
MANAGEMENT_READ, MANAGEMENT_WRITE = "api.management.read", "api.management.write"
ADMINISTRATION = "/v1/organization/"
KEY_SCOPES = frozenset((REQUEST, MODELS_READ, MODELS_WRITE, RESPONSES_READ, RESPONSES_WRITE))
"""All that a key of a project can have."""
ADMIN_SCOPES = frozenset((MANAGEMENT_READ, MANAGEMENT_WRITE))
"""All that an admin key can do: it opens nothing but the administration."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a bearer may do."""

    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raises ApiError 401 where the scope is missing."""
        if scope not in self.scopes:
            raise api_error.missing_scope(scope)


def needed(method: str, path: str) -> str:
    """The one scope an operation needs."""
    reads = method == "GET"
    if path.startswith(ADMINISTRATION):
        return MANAGEMENT_READ if reads else MANAGEMENT_WRITE
    if path.startswith("/v1/responses"):
        return RESPONSES_READ if reads else RESPONSES_WRITE
    if path.startswith("/v1/models"):
        return MODELS_READ if reads else MODELS_WRITE
    return REQUEST
