"""The error table, rendered for gRPC: complete, detailed, and silent about what the caller sent."""

from __future__ import annotations

import grpc
import orjson
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]

from broker.errors import BrokerError, Kind
from broker.listeners.grpc import errors
from broker.listeners.grpc.errors import RpcFailure, refusal, upstream_refusal
from broker.model.call import Reply


def _details(refused: RpcFailure) -> dict[str, Message]:
    raw = dict(refused.trailers)["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(raw)
    assert code_pb2.Code.Name(status.code) == refused.code.name
    assert status.message == refused.message
    found = {}
    for detail in status.details:
        name = detail.TypeName().rpartition(".")[2]
        message = getattr(error_details_pb2, name)()
        detail.Unpack(message)
        found[name] = message
    return found


def test_every_kind_has_a_code() -> None:
    assert errors.CODES.keys() == set(Kind)
    assert grpc.StatusCode.OK not in errors.CODES.values()
    assert grpc.StatusCode.UNKNOWN not in errors.CODES.values()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_names_itself_and_its_facts(kind: Kind) -> None:
    error = BrokerError(kind, "What was wrong.", remedy="Do this.", rule="r.1", details={"decision": "d"})
    refused = refusal(error)
    info = _details(refused)["ErrorInfo"]
    assert refused.message == "What was wrong. Do this."
    assert (info.reason, info.domain) == (kind.value, "broker.v1")  # type: ignore[attr-defined]
    assert info.metadata == {"rule": "r.1", "decision": "d"}  # type: ignore[attr-defined]


def test_a_bad_request_names_the_field() -> None:
    error = BrokerError(Kind.CONTENT_BLOCKED, "Blocked.", param="messages[0].content", rule="secrets.aws")
    bad = _details(refusal(error))["BadRequest"]
    assert bad.field_violations[0].field == "messages[0].content"  # type: ignore[attr-defined]


def test_a_spent_budget_says_which_and_when_it_returns() -> None:
    error = BrokerError(Kind.BUDGET_EXCEEDED, "Spent.", rule="team.daily", retry_after=90.5)
    details = _details(refusal(error))
    assert details["QuotaFailure"].violations[0].subject == "team.daily"  # type: ignore[attr-defined]
    assert details["RetryInfo"].retry_delay.ToNanoseconds() == 90_500_000_000  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"), (401, "PERMISSION_DENIED"), (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"), (409, "ABORTED"), (422, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"),
        (500, "UNAVAILABLE"), (503, "UNAVAILABLE"), (302, "UNAVAILABLE"),
    ],
)  # fmt: skip
def test_upstreams_error_keeps_its_words(status: int, code: str) -> None:
    body = orjson.dumps({"error": {"message": "No.", "type": "t", "param": "n", "code": None}})
    refused = upstream_refusal(Reply(status, (("x-request-id", "req_9"), ("retry-after", "7")), body))
    details = _details(refused)
    assert (refused.code.name, refused.message) == (code, "No.")
    facts = {"type": "t", "param": "n", "http_status": str(status)}
    assert details["ErrorInfo"].metadata == facts  # type: ignore[attr-defined]
    assert details["RetryInfo"].retry_delay.seconds == 7  # type: ignore[attr-defined]
    assert ("x-request-id", "req_9") in refused.trailers


def test_upstreams_429_about_money_is_no_rate_limit() -> None:
    """No waiting helps, so no reason that says to wait."""
    body = b'{"error": {"message": "Spent.", "code": "project_spend_limit_exceeded"}}'
    failure = upstream_refusal(Reply(429, (), body))
    info = _details(failure)["ErrorInfo"]
    assert (failure.code.name, info.reason) == ("RESOURCE_EXHAUSTED", "UPSTREAM_ERROR")  # type: ignore[attr-defined]
    assert info.metadata["code"] == "project_spend_limit_exceeded"  # type: ignore[attr-defined]


def test_upstreams_429_has_our_reason() -> None:
    info = _details(upstream_refusal(Reply(429, (), b"{}")))["ErrorInfo"]
    assert info.reason == "UPSTREAM_RATE_LIMITED"  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"message":3}}'])
def test_an_error_body_of_another_shape_still_renders(body: bytes) -> None:
    refused = upstream_refusal(Reply(500, (), body))
    assert refused.message == "The upstream answered 500."
