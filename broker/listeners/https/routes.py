"""THE route table: every path the broker serves, what authorizes it, and how its body is read.

Knows: methods and paths. Must not know: what a route does. What the table does not name is 404; a test
walks it and fails on a route without an authorization.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from broker.model.operation import AdminAction, Operation


class Body(Enum):
    """How a route's body is read. NONE: it has none, and one that is sent is not read."""

    NONE = "none"
    JSON = "json"
    FORM = "form"


class Open(Enum):
    """Routes that need no policy decision, and why that is safe."""

    HEALTH = "says only whether the process lives and is ready"
    METADATA = "public keys and endpoints, published for everybody"


class TokenRoute(Enum):
    """The token endpoint: `data.broker.tokens.decision` decides."""

    TOKEN = "token"  # noqa: S105 - a route's name, not a password


class OwnRoute(Enum):
    """Routes that tell a caller of itself: its token says who, `data.broker.calls.decision` of what."""

    LIMITS = "limits"


Authorization = Operation | AdminAction | TokenRoute | OwnRoute | Open


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `{model}` and `{id}` in the path each stand for one segment."""

    method: str
    path: str
    authorization: Authorization
    body: Body = Body.NONE


ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/chat/completions", Operation.CHAT, Body.JSON),
    Route("GET", "/v1/chat/completions", Operation.CHAT_LIST),
    Route("GET", "/v1/chat/completions/{id}", Operation.CHAT_GET),
    Route("POST", "/v1/chat/completions/{id}", Operation.CHAT_UPDATE, Body.JSON),
    Route("DELETE", "/v1/chat/completions/{id}", Operation.CHAT_DELETE),
    Route("GET", "/v1/chat/completions/{id}/messages", Operation.CHAT_MESSAGES),
    Route("POST", "/v1/completions", Operation.COMPLETIONS, Body.JSON),
    Route("POST", "/v1/edits", Operation.EDITS, Body.JSON),
    Route("POST", "/v1/embeddings", Operation.EMBEDDINGS, Body.JSON),
    Route("POST", "/v1/moderations", Operation.MODERATIONS, Body.JSON),
    Route("POST", "/v1/responses", Operation.RESPONSES, Body.JSON),
    Route("POST", "/v1/responses/input_tokens", Operation.RESPONSES_INPUT_TOKENS, Body.JSON),
    Route("POST", "/v1/responses/compact", Operation.RESPONSES_COMPACT, Body.JSON),
    Route("GET", "/v1/responses/{id}", Operation.RESPONSES_GET),
    Route("DELETE", "/v1/responses/{id}", Operation.RESPONSES_DELETE),
    Route("POST", "/v1/responses/{id}/cancel", Operation.RESPONSES_CANCEL),
    Route("GET", "/v1/responses/{id}/input_items", Operation.RESPONSES_INPUT_ITEMS),
    Route("GET", "/v1/models", Operation.MODELS),
    Route("GET", "/v1/models/{model}", Operation.MODELS_GET),
    Route("DELETE", "/v1/models/{model}", Operation.MODELS_DELETE),
    Route("POST", "/oauth/token", TokenRoute.TOKEN, Body.FORM),
    Route("POST", "/oauth/introspect", AdminAction.INTROSPECT, Body.FORM),
    Route("POST", "/oauth/revoke", AdminAction.REVOKE, Body.FORM),
    Route("GET", "/limits/mine", OwnRoute.LIMITS),
    Route("GET", "/limits", AdminAction.LIMITS_READ),
    Route("POST", "/limits/reset", AdminAction.LIMITS_RESET, Body.FORM),
    Route("GET", "/.well-known/jwks.json", Open.METADATA),
    Route("GET", "/.well-known/oauth-authorization-server", Open.METADATA),
    Route("GET", "/healthz", Open.HEALTH),
    Route("GET", "/readyz", Open.HEALTH),
)

# No dots or slashes in an id: a segment can never climb to another upstream path.
_SEGMENT = {"id": r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", "model": r"[A-Za-z0-9][A-Za-z0-9._:@%-]{0,191}"}
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class Match:
    """The row that a request fits, and the model or the stored object that its path names, if any."""

    route: Route
    model: str | None = None
    target: str | None = None


def _pattern(path: str) -> re.Pattern[str]:
    named = re.sub(r"\\\{(\w+)\\\}", lambda m: f"(?P<{m[1]}>{_SEGMENT[m[1]]})", re.escape(path))
    return re.compile(named + r"\Z")


_FIXED = {(route.method, route.path): Match(route) for route in ROUTES if "{" not in route.path}
_OPEN_ENDED = [(route, _pattern(route.path)) for route in ROUTES if "{" in route.path]


def find(method: str, raw_path: str) -> Match | None:
    """The row for a request, or None. `raw_path` is still percent-encoded. HEAD finds the row of GET: its
    answer has the same headers, and no body (RFC 9110, 9.3.2).

    >>> find("GET", "/v1/models/gpt-4o").model
    'gpt-4o'
    >>> find("GET", "/v1/models/..%2ffiles") is None
    True
    """
    method = "GET" if method == "HEAD" else method
    fixed = _FIXED.get((method, raw_path))
    if fixed is not None:
        return fixed
    for route, pattern in _OPEN_ENDED:
        found = pattern.match(raw_path) if route.method == method else None
        if found is not None:
            return _open_ended(route, **found.groupdict())
    return None


def _open_ended(route: Route, model: str | None = None, id: str | None = None) -> Match | None:  # noqa: A002
    if model is None:
        return Match(route, target=id)
    model = unquote(model)
    return Match(route, model) if _MODEL.match(model) else None
