"""The HTTP rendering of the error table: OpenAI's error shape, so that its SDKs raise the right class.

Knows: statuses and codes. Must not know: why a call was refused. A test holds it complete over Kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import orjson

from broker.errors import BrokerError, Kind
from broker.listeners.https.coding import ACCEPTED
from broker.shaping.limit_headers import exceeded_headers

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Status, OpenAI's `type` and `code`."""

    status: int
    type: str
    code: str


_UNAUTHORIZED = ErrorRow(401, "invalid_request_error", "invalid_api_key")

ROWS: dict[Kind, ErrorRow] = {
    Kind.POLICY_DENIED: ErrorRow(403, "permission_error", "policy_denied"),
    Kind.CONTENT_BLOCKED: ErrorRow(400, "invalid_request_error", "content_policy_violation"),
    Kind.BUDGET_EXCEEDED: ErrorRow(429, "insufficient_quota", "insufficient_quota"),
    Kind.RATE_LIMITED: ErrorRow(429, "requests", "rate_limit_exceeded"),
    Kind.UPSTREAM_RATE_LIMITED: ErrorRow(429, "requests", "rate_limit_exceeded"),
    Kind.CONTEXT_LENGTH_EXCEEDED: ErrorRow(400, "invalid_request_error", "context_length_exceeded"),
    Kind.MODEL_RETIRED: ErrorRow(404, "invalid_request_error", "model_not_found"),
    Kind.TOKEN_MISSING: _UNAUTHORIZED,
    Kind.TOKEN_INVALID: _UNAUTHORIZED,
    Kind.TOKEN_EXPIRED: _UNAUTHORIZED,
    Kind.TOKEN_REVOKED: _UNAUTHORIZED,
    Kind.TOKEN_NOT_YOURS: _UNAUTHORIZED,
    Kind.CERTIFICATE_INVALID: _UNAUTHORIZED,
    Kind.CREDENTIAL_STORE_UNAVAILABLE: ErrorRow(503, "server_error", "credential_store_unavailable"),
    Kind.POLICY_ENGINE_UNAVAILABLE: ErrorRow(503, "server_error", "policy_engine_unavailable"),
    Kind.AUDIT_UNAVAILABLE: ErrorRow(503, "server_error", "audit_unavailable"),
    Kind.STATE_UNAVAILABLE: ErrorRow(503, "server_error", "state_unavailable"),
    Kind.UPSTREAM_INTERRUPTED: ErrorRow(502, "server_error", "upstream_interrupted"),
    Kind.UPSTREAM_UNAVAILABLE: ErrorRow(502, "server_error", "upstream_unavailable"),
    Kind.BAD_REQUEST: ErrorRow(400, "invalid_request_error", "invalid_request_error"),
    Kind.NOT_FOUND: ErrorRow(404, "invalid_request_error", "not_found"),
    Kind.TOO_LARGE: ErrorRow(400, "invalid_request_error", "invalid_request_error"),
    Kind.UNSUPPORTED_ENCODING: ErrorRow(415, "invalid_request_error", "unsupported_content_encoding"),
    Kind.CALLER_GONE: ErrorRow(499, "invalid_request_error", "caller_gone"),
    Kind.OVERLOADED: ErrorRow(503, "server_error", "overloaded"),
    Kind.SHUTTING_DOWN: ErrorRow(503, "server_error", "shutting_down"),
    Kind.INTERNAL: ErrorRow(500, "server_error", "internal_error"),
}

# OAuth's own error names (RFC 6749, 5.2) for the token endpoint.
OAUTH: dict[Kind, str] = {
    Kind.POLICY_DENIED: "invalid_scope",
    Kind.BAD_REQUEST: "invalid_request",
    Kind.TOO_LARGE: "invalid_request",
    Kind.UNSUPPORTED_ENCODING: "invalid_request",
    Kind.CERTIFICATE_INVALID: "invalid_client",
}
# A malformed parameter with a name of its own: RFC 6749, 5.2, and RFC 8707, 2.
_OAUTH_PARAMS = {
    "scope": "invalid_scope",
    "audience": "invalid_target",
    "grant_type": "unsupported_grant_type",
}


def body(error: BrokerError) -> bytes:
    """`{"error": {"message", "type", "param", "code", …}}`, and what our own clients read besides."""
    row = ROWS[error.kind]
    facts: dict[str, object] = {
        "message": str(error),
        "type": row.type,
        "param": error.param,
        "code": row.code,
        "reason": error.kind.value,
    }
    if error.rule is not None:
        facts["rule"] = error.rule
    if error.details:
        facts["details"] = error.details
    return orjson.dumps({"error": facts})


def oauth_body(error: BrokerError) -> bytes:
    """`{"error", "error_description"}` of RFC 6749, 5.2."""
    name = OAUTH.get(error.kind, "temporarily_unavailable")
    if error.kind is Kind.BAD_REQUEST and error.param is not None:
        name = _OAUTH_PARAMS.get(error.param, name)
    return orjson.dumps(
        {"error": name, "error_description": str(error), "reason": error.kind.value, "rule": error.rule}
    )


def headers(error: BrokerError) -> Headers:
    """The headers that go with the error: when to come back, and how to authenticate."""
    found: Headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        found.append((b"retry-after", str(ceil(error.retry_after)).encode()))
    found += [(name.encode(), value.encode()) for name, value in exceeded_headers(error)]
    if error.kind is Kind.BUDGET_EXCEEDED:
        found.append((b"x-should-retry", b"false"))
    if error.kind is Kind.UNSUPPORTED_ENCODING:
        found.append((b"accept-encoding", ACCEPTED.encode()))  # RFC 9110, 12.5.3
    if ROWS[error.kind] is _UNAUTHORIZED:
        challenge = f'Bearer realm="broker", error="invalid_token", error_description="{error.kind.value}"'
        found.append((b"www-authenticate", challenge.encode()))
    return found


def complete_headers(error: BrokerError, body: bytes, call_id: str) -> Headers:
    """All headers of an answer that is the error: those that go with it, its length, and its call id."""
    found = headers(error)
    found.append((b"content-length", str(len(body)).encode()))
    found.append((b"x-broker-call-id", call_id.encode()))
    found.append((b"x-request-id", call_id.encode()))
    return found


def event(error: BrokerError) -> bytes:
    """The SSE error event that ends a stream which may not go on."""
    return b"event: error\ndata: " + body(error) + b"\n\n"
