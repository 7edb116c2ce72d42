"""Step 1, for both listeners: a JSON document and its bytes → Call, strictly.

Knows: how a body becomes a Call. Must not know: sockets, messages on the wire, policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from broker import strictjson
from broker.errors import BrokerError, Kind
from broker.listeners.fields import check_document, refuse
from broker.model.call import Call
from broker.model.operation import Operation

Headers = tuple[tuple[str, str], ...]
_LONGEST_PURPOSE = 200
MAX_FIELDS = 4096
"""Of a body, at its top level: policy reads each. OpenAI knows some forty and refuses others."""
MAX_USER = 4096
"""Characters of a user identifier; OpenAI takes 64. Policies match it against patterns."""


def parse_body(body: bytes) -> dict[str, object]:
    """The body as one JSON object. Raises BAD_REQUEST, param `body`."""
    try:
        document = strictjson.parse(body)
    except strictjson.StrictJsonError as error:
        raise refuse("body", str(error), "Send one strict JSON object (RFC 8259).") from None
    if not isinstance(document, dict):
        raise refuse("body", "expected a JSON object")
    return document


def decode_document(
    operation: Operation,
    method: str,
    path: str,
    document: Mapping[str, object],
    body: bytes,
    headers: Headers = (),
) -> Call:
    """A validated Call from a parsed body. Raises BAD_REQUEST naming the parameter."""
    if len(document) > MAX_FIELDS:
        raise refuse("body", f"it holds more than {MAX_FIELDS} fields")
    check_document(operation, document)
    model = document.get("model")
    user = document.get("user") or document.get("safety_identifier")
    if isinstance(user, str) and len(user) > MAX_USER:
        raise refuse("user", f"expected at most {MAX_USER} characters")
    return Call(
        operation=operation,
        method=method,
        path=path,
        body=body,
        document=document,
        model=model if isinstance(model, str) else None,
        stream=document.get("stream") is True,
        user=user if isinstance(user, str) else None,
        headers=headers,
    )


def decode_bodiless(
    operation: Operation, method: str, path: str, model: str | None, stream: bool, headers: Headers = ()
) -> Call:
    """A Call for an operation without a body; the model, if any, stands in the path."""
    return Call(operation, method, path, b"", None, model, stream=stream, headers=headers)


def with_purpose(call: Call, purpose: str | None) -> Call:
    """The call with what `x-broker-purpose` said. Raises BAD_REQUEST for what no record could show."""
    return call if purpose is None else replace(call, purpose=checked_purpose(purpose, "x-broker-purpose"))


def checked_purpose(purpose: str, param: str) -> str:
    """The purpose, where a record can show it. Raises BAD_REQUEST."""
    if purpose.isascii() and purpose.isprintable() and len(purpose) <= _LONGEST_PURPOSE:
        return purpose
    raise refuse(param, f"expected at most {_LONGEST_PURPOSE} printable ASCII characters")


def too_large(limit: int) -> BrokerError:
    """The answer to a body over the limit (bytes)."""
    return BrokerError(
        Kind.TOO_LARGE,
        f"The request body is larger than {limit} bytes.",
        param="body",
        remedy="Split the input, or use embeddings for long documents.",
    )
