"""The gRPC rendering of the error table: a status code and google.rpc details.

Knows: codes and detail messages. Must not know: why a call was refused. A test holds it complete over Kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
import orjson
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from broker.errors import BrokerError, Kind
from broker.listeners.grpc.metadata import Metadata, passed_on
from broker.listeners.overload import overloaded
from broker.model.call import Reply
from broker.model.units import NS_PER_SECOND
from broker.shaping.key_refusal import spent_money
from broker.shaping.limit_headers import exceeded_headers
from broker.shaping.retry_after import wait_of

DOMAIN = "broker.v1"
_Code = grpc.StatusCode

CODES: Mapping[Kind, grpc.StatusCode] = {
    Kind.POLICY_DENIED: _Code.PERMISSION_DENIED,
    Kind.CONTENT_BLOCKED: _Code.INVALID_ARGUMENT,
    Kind.BUDGET_EXCEEDED: _Code.RESOURCE_EXHAUSTED,
    Kind.RATE_LIMITED: _Code.RESOURCE_EXHAUSTED,
    Kind.UPSTREAM_RATE_LIMITED: _Code.RESOURCE_EXHAUSTED,
    Kind.CONTEXT_LENGTH_EXCEEDED: _Code.INVALID_ARGUMENT,
    Kind.MODEL_RETIRED: _Code.NOT_FOUND,
    Kind.TOKEN_MISSING: _Code.UNAUTHENTICATED,
    Kind.TOKEN_INVALID: _Code.UNAUTHENTICATED,
    Kind.TOKEN_EXPIRED: _Code.UNAUTHENTICATED,
    Kind.TOKEN_REVOKED: _Code.UNAUTHENTICATED,
    Kind.TOKEN_NOT_YOURS: _Code.UNAUTHENTICATED,
    Kind.CERTIFICATE_INVALID: _Code.UNAUTHENTICATED,
    Kind.CREDENTIAL_STORE_UNAVAILABLE: _Code.UNAVAILABLE,
    Kind.POLICY_ENGINE_UNAVAILABLE: _Code.UNAVAILABLE,
    Kind.AUDIT_UNAVAILABLE: _Code.UNAVAILABLE,
    Kind.STATE_UNAVAILABLE: _Code.UNAVAILABLE,
    Kind.UPSTREAM_INTERRUPTED: _Code.UNAVAILABLE,
    Kind.UPSTREAM_UNAVAILABLE: _Code.UNAVAILABLE,
    Kind.BAD_REQUEST: _Code.INVALID_ARGUMENT,
    Kind.NOT_FOUND: _Code.NOT_FOUND,
    Kind.UNSUPPORTED_ENCODING: _Code.INVALID_ARGUMENT,
    Kind.TOO_LARGE: _Code.RESOURCE_EXHAUSTED,  # what grpc itself answers to a message over the limit
    Kind.CALLER_GONE: _Code.CANCELLED,
    Kind.OVERLOADED: _Code.RESOURCE_EXHAUSTED,
    Kind.SHUTTING_DOWN: _Code.UNAVAILABLE,
    Kind.INTERNAL: _Code.INTERNAL,
}
# Upstream's own errors, by HTTP status; other 4xx are INVALID_ARGUMENT, all else UNAVAILABLE.
UPSTREAM_CODES: Mapping[int, grpc.StatusCode] = {
    401: _Code.PERMISSION_DENIED,  # the broker's key was refused, not the caller's token
    403: _Code.PERMISSION_DENIED,
    404: _Code.NOT_FOUND,
    408: _Code.UNAVAILABLE,
    409: _Code.ABORTED,
    429: _Code.RESOURCE_EXHAUSTED,
}
_CLIENT_ERRORS = range(400, 500)
_TOO_MANY_REQUESTS = 429


class UpstreamRefusedError(Exception):
    """Upstream answered with an error of its own; it reaches the caller as upstream worded it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"upstream answered {reply.status}")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """How an RPC ends without an answer: code, `grpc-message`, and trailers with google.rpc details."""

    code: grpc.StatusCode
    message: str
    trailers: Metadata


def refusal(error: BrokerError) -> RpcFailure:
    """The rendering of one of our own errors."""
    return _refusal(CODES[error.kind], str(error), _details(error), exceeded_headers(error))


def upstream_refusal(reply: Reply) -> RpcFailure:
    """The rendering of upstream's error body, with its `x-request-id` and rate-limit headers as trailers."""
    code = UPSTREAM_CODES.get(reply.status)
    if code is None:
        code = _Code.INVALID_ARGUMENT if reply.status in _CLIENT_ERRORS else _Code.UNAVAILABLE
    facts = _error_facts(reply.body)
    message = facts.pop("message", f"The upstream answered {reply.status}.")
    is_rate = reply.status == _TOO_MANY_REQUESTS and spent_money(reply.body) is None
    reason = Kind.UPSTREAM_RATE_LIMITED.value if is_rate else "UPSTREAM_ERROR"
    details = [_info(reason, {**facts, "http_status": str(reply.status)})]
    retry_after = wait_of(reply.headers, None)
    if retry_after is not None:
        details.append(_retry(retry_after))
    if "param" in facts and code is _Code.INVALID_ARGUMENT:
        details.append(_bad_request(facts["param"], message))
    return _refusal(code, message, details, passed_on(reply.headers))


def _refusal(
    code: grpc.StatusCode, message: str, details: Iterable[Message], trailers: Metadata = ()
) -> RpcFailure:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return RpcFailure(code, message, (*trailers, ("grpc-status-details-bin", status.SerializeToString())))


def _details(error: BrokerError) -> list[Message]:
    facts = dict(error.details)
    if error.rule is not None:
        facts["rule"] = error.rule
    if error.param is not None:
        facts["param"] = error.param
    details: list[Message] = [_info(error.kind.value, facts)]
    if error.param is not None and CODES[error.kind] is _Code.INVALID_ARGUMENT:
        details.append(_bad_request(error.param, error.message))
    if error.kind in (Kind.BUDGET_EXCEEDED, Kind.RATE_LIMITED):
        subject = error.details.get("limit", error.rule)
        violation = error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if error.retry_after is not None:
        details.append(_retry(error.retry_after))
    return details


def _info(reason: str, facts: Mapping[str, str]) -> Message:
    info: Message = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts)
    return info


def _bad_request(param: str, message: str) -> Message:
    violation = error_details_pb2.BadRequest.FieldViolation(field=param, description=message)
    bad: Message = error_details_pb2.BadRequest(field_violations=[violation])
    return bad


def _retry(seconds: float) -> Message:
    delay = Duration()
    delay.FromNanoseconds(int(seconds * NS_PER_SECOND))
    retry: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    return retry


def _error_facts(body: bytes) -> dict[str, str]:
    """The string members of OpenAI's `{"error": {message, type, param, code}}`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return {}
    names = ("message", "type", "param", "code")
    return {name: error[name] for name in names if isinstance(error.get(name), str)}


OVERLOADED = refusal(overloaded())
"""Made once: who has too much to do must not spend it on that."""
