"""Validation refuses what OpenAI's reference rules out, and nothing else."""

from __future__ import annotations

import pytest

from broker.errors import BrokerError, Kind
from broker.listeners.decode import decode_document, parse_body
from broker.listeners.fields import check_document
from broker.model.operation import Operation

HELLO = [{"role": "user", "content": "hi"}]


def chat(**fields: object) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "messages": HELLO, **fields}


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({"messages": HELLO}, "model"),
        ({"model": "gpt-4o"}, "messages"),
        (chat(messages=[]), "messages"),
        (chat(messages="hi"), "messages"),
        (chat(messages=[{"role": "wizard", "content": "hi"}]), "messages[0].role"),
        (chat(messages=[*HELLO, {"content": "hi"}]), "messages[1].role"),
        (chat(messages=[{"role": ["user"], "content": "hi"}]), "messages[0].role"),
        (chat(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
        (chat(messages=[{"role": "user", "content": [{"text": "x"}]}]), "messages[0].content[0].type"),
        (chat(temperature=3), "temperature"),
        (chat(temperature=-0.1), "temperature"),
        (chat(temperature="1"), "temperature"),
        (chat(temperature=True), "temperature"),
        (chat(top_p=1.01), "top_p"),
        (chat(n=0), "n"),
        (chat(n=1.5), "n"),
        (chat(max_tokens=-1), "max_tokens"),
        (chat(max_completion_tokens=-5), "max_completion_tokens"),
        (chat(stream="yes"), "stream"),
        (chat(presence_penalty=2.5), "presence_penalty"),
        (chat(frequency_penalty=-2.5), "frequency_penalty"),
        (chat(logit_bias={"50256": 101}), "logit_bias"),
        (chat(stop=["a"] * 5), "stop"),
        (chat(user=7), "user"),
        (chat(model=""), "model"),
        (chat(model=["gpt-4o"]), "model"),
        (chat(top_logprobs=21), "top_logprobs"),
    ],
)
def test_value_outside_the_reference_names_its_parameter(document: dict[str, object], param: str) -> None:
    with pytest.raises(BrokerError) as refused:
        check_document(Operation.CHAT, document)
    assert (refused.value.kind, refused.value.param) == (Kind.BAD_REQUEST, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_completion_tokens": 0},
        {"temperature": 0},
        {"temperature": None, "stop": None, "user": None},
        {"seed": 2**63 + 7},
        {"a_field_from_next_year": {"deep": [1, None, "x"]}},
        {"model": "a-model-from-next-year"},
        {"stop": "\n"},
        {"messages": [{"role": "developer", "content": "x"}, {"role": "assistant", "content": None}]},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "call_1"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "new_part"}]}]},
        {"logit_bias": {"1": -100, "2": 100}},
        {"n": 128, "top_p": 0, "presence_penalty": -2, "frequency_penalty": 2},
    ],
)
def test_unusual_but_legal_value_passes(fields: dict[str, object]) -> None:
    check_document(Operation.CHAT, chat(**fields))


@pytest.mark.parametrize("field", ["base_url", "api_key", "api_base", "extra_headers"])
def test_call_cannot_choose_its_upstream(field: str) -> None:
    with pytest.raises(BrokerError) as refused:
        check_document(Operation.CHAT, chat(**{field: "https://evil.example"}))
    assert refused.value.param == field


@pytest.mark.parametrize(
    ("operation", "document", "param"),
    [
        (Operation.EMBEDDINGS, {"model": "m", "input": 7}, "input"),
        (Operation.EMBEDDINGS, {"model": "m", "input": []}, "input"),
        (Operation.EMBEDDINGS, {"model": "m", "input": ["a", 1]}, "input"),
        (Operation.EMBEDDINGS, {"model": "m", "input": "x", "encoding_format": "hex"}, "encoding_format"),
        (Operation.COMPLETIONS, {"model": "m", "prompt": {}}, "prompt"),
        (Operation.COMPLETIONS, {"model": "m", "logprobs": 6}, "logprobs"),
        (Operation.EDITS, {"model": "m", "input": "x"}, "instruction"),
        (Operation.MODERATIONS, {}, "input"),
        (Operation.RESPONSES, {"model": "m", "input": 7}, "input"),
        (Operation.RESPONSES, {"model": "m", "max_output_tokens": -1}, "max_output_tokens"),
    ],
)
def test_every_family_is_checked(operation: Operation, document: dict[str, object], param: str) -> None:
    with pytest.raises(BrokerError) as refused:
        check_document(operation, document)
    assert refused.value.param == param


@pytest.mark.parametrize("tokens", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_take_text_and_tokens(tokens: object) -> None:
    check_document(Operation.EMBEDDINGS, {"model": "m", "input": tokens})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"\\u0061": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\\ud800"}',
        b'{"a": 1} {"b": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1,}',
        b"{'a': 1}",
    ],
)
def test_parser_differential_is_refused(body: bytes) -> None:
    with pytest.raises(BrokerError) as refused:
        parse_body(body)
    assert (refused.value.kind, refused.value.param) == (Kind.BAD_REQUEST, "body")


def test_the_call_keeps_the_callers_own_bytes() -> None:
    body = b'{ "seed": 12345678901234567890, "model":"m", "messages":[{"role":"user","content":"\\u00e9"}] }'
    call = decode_document(Operation.CHAT, "POST", "/v1/chat/completions?x=%20", parse_body(body), body)
    assert call.body == body
    assert call.path == "/v1/chat/completions?x=%20"
    assert call.document is not None
    assert call.document["seed"] == 12345678901234567890


def test_depth_of_64_is_allowed() -> None:
    assert parse_body(b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}")
