"""What is left of a reply from which something is taken out: no match, and everything else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from broker.prefilter.texts import texts
from broker.shaping.redaction import members, redacted_reply
from broker.shaping.reply import parse_reply
from tests.inspectors import shared_inspector

FOUND = ("DE89370400440532013000", "ann@example.org", '{"to": "ann@example.org\\n"}', 4111111111111111)
LEAVES = st.one_of(
    st.sampled_from(FOUND), st.text(max_size=8), st.integers(), st.floats(allow_nan=False), st.none()
)
REPLIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "logprobs", "content", "ann@example.org"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(reply=REPLIES)
def test_response_redact_leaves_no_match_in_any_reply(reply: object) -> None:
    body = json.dumps(reply).encode()
    document = parse_reply(body)
    found = shared_inspector().inspect(texts(members(document, body), lambda _: ""))
    taken, left = redacted_reply(document, body, found)
    assert parse_reply(left) == parse_reply(json.dumps(taken).encode())
    assert shared_inspector().inspect(texts(members(parse_reply(left), left), lambda _: "")) == ()
    assert _json_type(taken) is _json_type(document)


def _json_type(value: object) -> type:
    """JSON has one type of number: one beyond 64 bits is read as a float, and written as it came."""
    return float if type(value) is int else type(value)


def test_response_redact_leaves_a_member_that_is_only_called_logprobs() -> None:
    schema = {"properties": {"logprobs": {"type": "boolean"}}, "logprobs": True, "note": "ann@example.org"}
    body = json.dumps(schema).encode()
    found = shared_inspector().inspect(texts(schema, lambda _: ""))
    taken, _ = redacted_reply(parse_reply(body), body, found)
    assert taken == {**schema, "note": "[REDACTED:pii.email]"}
