"""Steps 5→9: a call and what was decided about it → the request that goes upstream.

Knows: Decision, findings, OpenAI's bodies. Must not know: keys. Where nothing has to be shaped, the
caller's own bytes go on, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import orjson

from broker.catalog.count import decode_tokens, encode_tokens
from broker.catalog.models import find
from broker.errors import BrokerError, Kind
from broker.model.call import Call, UpstreamRequest
from broker.model.decision import CallDecision, Shape
from broker.model.finding import Finding
from broker.model.operation import TRAITS, Operation
from broker.prefilter.redact import Vocabulary, redact
from broker.shaping import edits
from broker.shaping.denial import content_blocked
from broker.shaping.made import without
from broker.shaping.mentions import Path
from broker.shaping.usage_request import asking, asking_bytes, lacks_usage

QUERY = "?query"
"""The first step of a path that means the query string; no field of a body is taken for it."""
PURPOSE = "?purpose"
"""The first step of a path that means the header x-broker-purpose; it never goes upstream."""


def upstream_request(
    call: Call,
    decision: CallDecision,
    findings: Sequence[Finding],
    bound: Mapping[str, object],
    call_id: str,
    left_out: Sequence[Path] = (),
) -> UpstreamRequest:
    """The shaped request. `bound` are the fields the token forces, `left_out` the places of what may not go
    on. Raises POLICY_ENGINE_UNAVAILABLE where the decision asks for a shape this call cannot have.
    """
    document = _document(call, decision, findings, bound)
    if left_out and call.document is not None:
        document = without(call.document if document is None else document, left_out)
    headers = call.headers
    if not any(name == "x-client-request-id" for name, _ in headers):
        headers = (*headers, ("x-client-request-id", call_id))  # OpenAI keeps it beside its own request id
    if call.document is not None and not any(name == "content-type" for name, _ in headers):
        headers = (*headers, ("content-type", "application/json"))
    path = edits.CHAT_PATH if call.operation is Operation.EDITS else call.path
    sent = call.document if document is None else document
    usage_added = sent is not None and lacks_usage(call.operation, sent)
    body = _asking(call, document) if usage_added else call.body if document is None else encode(document)
    return UpstreamRequest(call.method, path, body, headers, call.stream, usage_added)


def shaped(call: Call, shape: Shape) -> Call:
    """The call as upstream will see it, for its worst case: a cap or another model makes it another call. An
    edit is the chat that performs it.
    """
    if call.document is None:
        return call
    removed = _removed(call, shape)
    kept = {name: value for name, value in call.document.items() if name not in removed}
    model = model_sent(call, shape)
    document: dict[str, object] = {**kept, **shape.set, "model": model}
    if call.operation is Operation.EDITS and shape.model is not None:
        return replace(
            call, operation=Operation.CHAT, document=edits.to_chat(document, shape.model), model=model
        )
    return replace(call, document=document, model=model)


def model_sent(call: Call, shape: Shape) -> str | None:
    """The model that upstream is asked for: the one that policy pinned or set, or the caller's."""
    named = shape.set.get("model")
    return shape.model or (named if isinstance(named, str) else call.model)


def _document(
    call: Call, decision: CallDecision, findings: Sequence[Finding], bound: Mapping[str, object]
) -> Mapping[str, object] | None:
    """The changed document, or None where the original bytes may go on."""
    document = call.document
    redacted = [
        finding
        for finding in findings
        if finding.rule in decision.content.redact and finding.path[0] != PURPOSE  # it stays with the broker
    ]
    for finding in redacted:
        if document is None or finding.path[0] == QUERY:  # what cannot be taken out must not go on
            raise content_blocked(finding.rule, finding.location, "request")
    if document is None:
        return None
    forced = {**decision.shape.set, **bound, **_lower(decision.shape.set, bound)}
    if decision.shape.model is not None and call.operation is not Operation.EDITS:
        forced["model"] = decision.shape.model
    removed = [name for name in _removed(call, decision.shape) if name in document]
    if redacted:
        model = find(call.model)
        vocabulary = Vocabulary(partial(decode_tokens, model), partial(encode_tokens, model))
        document = redact(document, redacted, vocabulary)
    if forced or removed:
        document = {**{k: v for k, v in document.items() if k not in removed}, **forced}
    if call.operation is Operation.EDITS:
        return edits.to_chat(document, _edit_model(decision))
    return None if document is call.document else document


def _removed(call: Call, shape: Shape) -> Sequence[str]:
    """What is taken out; never a bound of its output, by which the call was judged."""
    bounds = TRAITS[call.operation].bounds
    return [name for name in shape.remove if name not in bounds]


def _lower(decided: Mapping[str, object], bound: Mapping[str, object]) -> Mapping[str, object]:
    """The numbers of policy that are lower than those of the token: the bounds of both hold."""
    return {
        name: value
        for name, value in decided.items()
        if isinstance(value, int) and isinstance(most := bound.get(name), int) and value < most
    }


def _asking(call: Call, shaped: Mapping[str, object] | None) -> bytes:
    """The body that asks for usage, too."""
    if shaped is not None:
        return encode(asking(shaped))
    original = call.document or {}
    return asking_bytes(call.body, original) or encode(asking(original))


def _edit_model(decision: CallDecision) -> str:
    if decision.shape.model is None:
        raise BrokerError(
            Kind.POLICY_ENGINE_UNAVAILABLE,
            "The policy allowed an edit without naming the chat model that performs it.",
            remedy="Set `shape.model` in the decision of broker.calls for the operation edits.",
        )
    return decision.shape.model


def encode(document: object) -> bytes:
    """The document as compact JSON."""
    try:
        return orjson.dumps(document)
    except TypeError:  # an integer beyond 64 bits, which orjson cannot write
        import json  # noqa: PLC0415 - the rare path

        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
