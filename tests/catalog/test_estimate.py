"""Token counts and worst cases: never less than what a call can cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalog.bounds import is_ordinary
from broker.catalog.cost import Tokens, cost
from broker.catalog.count import (
    MEDIA_TOKENS,
    PER_MESSAGE,
    REPLY_PRIMING,
    count_input,
    decode_tokens,
)
from broker.catalog.estimate import Estimate, estimate
from broker.catalog.models import UNKNOWN, find
from broker.catalog.prices import price_of
from broker.catalog.vocabulary import encoding
from broker.errors import BrokerError, Kind
from broker.identity.scope import covers
from broker.model.call import Call
from broker.model.operation import TRAITS, Operation
from broker.model.subject import Caller, Peer, Subject
from broker.shaping.binding import bind
from tests.sizes import sized

MINI = find("gpt-4o-mini")
USD = 1_000_000


def ask(operation: Operation, document: dict[str, Any] | None, ceiling: int | None = None) -> Estimate:
    model = document.get("model") if document else None
    return estimate(Call(operation, "POST", "/v1/x", b"", document, model), ceiling)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}], **fields}


def tokens(text: str) -> int:
    return encoding("o200k_base").count(text)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 16_384),  # nothing asked: the model's longest answer
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 10}, 10),
        ({"max_tokens": 5, "max_completion_tokens": 10}, 10),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"max_tokens": 0}, 0),
        ({"max_tokens": None, "n": None}, 16_384),
    ],
)
def test_the_longest_answer_of_a_chat(fields: dict[str, Any], expected: int) -> None:
    assert ask(Operation.CHAT, chat(**fields)).tokens_out_max == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": "a"}, 16),  # OpenAI's default
        ({"prompt": "a", "max_tokens": 7}, 7),
        ({"prompt": ["a", "b"], "max_tokens": 7, "n": 2}, 28),
        ({"prompt": "a", "max_tokens": 7, "n": 1, "best_of": 5}, 35),  # paid for, though not returned
        ({"prompt": [1, 2, 3], "max_tokens": 7}, 7),  # one prompt of three tokens
        ({"prompt": [[1, 2], [3]], "max_tokens": 7}, 14),
    ],
)
def test_the_longest_answers_of_a_completion(fields: dict[str, Any], expected: int) -> None:
    found = ask(Operation.COMPLETIONS, {"model": "gpt-3.5-turbo-instruct", **fields})
    assert found.tokens_out_max == expected


def test_the_tokens_ceiling_bounds_each_choice() -> None:
    assert ask(Operation.CHAT, chat(n=2), 100).tokens_out_max == 200
    assert ask(Operation.CHAT, chat(max_tokens=50), 100).tokens_out_max == 50


@pytest.mark.parametrize("operation", [each for each in Operation if TRAITS[each].billed])
def test_a_tokens_ceiling_lowers_what_is_reserved_only_where_upstream_is_told(operation: Operation) -> None:
    document: dict[str, Any] = {"model": "gpt-4o", "input": "one two", "messages": [], "prompt": "one"}
    call = Call(operation, "POST", "/v1/x", b"", document, "gpt-4o")
    peer = Peer("spiffe://a.example/b", "00" * 32, 0, 1)
    caller = Caller(Subject(peer.spiffe_id, "b"), peer, "tok", (str(operation),), 1, None, 10)
    lowered = ask(operation, document, 10).tokens_out_max < ask(operation, document).tokens_out_max
    assert lowered == bool(bind(call, caller, covers))


@pytest.mark.parametrize("operation", [Operation.EMBEDDINGS, Operation.MODERATIONS])
def test_what_generates_nothing_has_no_output(operation: Operation) -> None:
    found = ask(operation, {"model": "text-embedding-3-small", "input": "one two", "max_tokens": 9})
    assert (found.tokens_out_max, found.tokens_in) == (0, 2)


def test_a_call_without_a_body_costs_nothing() -> None:
    assert ask(Operation.MODELS, None) == Estimate(0, 0, 0, None)


def test_money_is_rounded_up_and_cached_tokens_are_cheaper() -> None:
    mini = price_of("gpt-4o-mini")
    assert cost(mini, Tokens(1, 0)) == 1  # 0.15 of a millionth
    assert cost(mini, Tokens(USD, 0)) == 150_000
    assert cost(mini, Tokens(USD, 0, cached=USD)) == 75_000
    assert cost(mini, Tokens(USD, USD)) == 750_000


def test_an_unknown_model_is_taken_for_a_dear_one() -> None:
    found = ask(Operation.CHAT, chat(model="gpt-99"))
    assert found.model is None
    assert found.tokens_out_max == UNKNOWN.max_output
    assert found.cost_micro_usd >= ask(Operation.CHAT, chat()).cost_micro_usd


def test_a_call_over_the_window_is_refused_with_the_count() -> None:
    document = {"model": "gpt-4", "messages": [{"role": "user", "content": "word " * 9_000}]}
    with pytest.raises(BrokerError) as caught:
        ask(Operation.CHAT, document)
    error = caught.value
    assert error.kind is Kind.CONTEXT_LENGTH_EXCEEDED
    assert error.details["allowed"] == "8192"
    assert int(error.details["counted"]) > 9_000
    assert "word" not in str(error)


def test_what_is_asked_for_the_reply_counts_to_the_window() -> None:
    document = chat(model="gpt-4", max_tokens=8_192)
    with pytest.raises(BrokerError, match="context window is 8192"):
        ask(Operation.CHAT, document)


@pytest.mark.parametrize(
    ("operation", "document"),
    [
        (Operation.EMBEDDINGS, {"model": "text-embedding-3-small", "input": ["word " * 5_000] * 3}),
        (Operation.EDITS, {"model": "text-davinci-edit-001", "input": "word " * 5_000, "instruction": "x"}),
        (Operation.CHAT, chat(model="gpt-99", max_tokens=10**9)),
    ],
)
def test_a_window_that_does_not_bound_the_whole_call_refuses_nothing(
    operation: Operation, document: dict[str, Any]
) -> None:
    assert ask(operation, document).tokens_in > 0


@settings(max_examples=sized(60))
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_no_text_of_a_message_goes_uncounted(texts: list[str]) -> None:
    parts = [{"type": "text", "text": text} for text in texts]
    overhead = PER_MESSAGE + REPLY_PRIMING
    counted = count_input({"messages": [{"role": "user", "content": parts}]}, MINI).total
    assert counted >= tokens("\n".join(texts)) + overhead - len(texts)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"input": [1, 2, 3]}, 3),
        ({"input": [[1, 2], [3, 4]]}, 4),
        ({"unknown": "not read by a model"}, 0),
        ({"instructions": "Say hello."}, tokens("Say hello.")),
        ({"input": [{"type": "input_image", "image_url": "data:image/png;base64," + "A" * 9_000}]}, None),
    ],
)
def test_what_is_not_text_is_counted_too(document: dict[str, object], expected: int | None) -> None:
    counted = count_input(document, find("gpt-4o")).total
    if expected is None:
        assert MEDIA_TOKENS <= counted < MEDIA_TOKENS + 20
    else:
        assert counted == expected


@given(st.text(max_size=200))
def test_token_arrays_are_read_back(text: str) -> None:
    assert decode_tokens(MINI, encoding("o200k_base").encode(text)) == text


@pytest.mark.parametrize("array", [[10**9], [2**70]])
def test_tokens_of_no_vocabulary_are_not_text(array: list[int]) -> None:
    assert decode_tokens(MINI, array) is None


BASE64 = "A" * 800_000  # 100,000 tokens as text
OPAQUE_ITEMS = (
    {"type": "image_generation_call", "id": "ig_1", "result": BASE64},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": BASE64},
    {"type": "compaction", "encrypted_content": BASE64},
    {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": BASE64}},
    {"role": "user", "content": [{"type": "input_image", "image_url": BASE64}]},
    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}]},
    {"role": "user", "content": [{"type": "input_file", "filename": "a.pdf", "file_data": BASE64}]},
    {
        "type": "function_call_output",
        "call_id": "c",
        "output": [{"type": "input_image", "image_url": BASE64}],
    },
)


@pytest.mark.parametrize(
    "item", OPAQUE_ITEMS, ids=lambda item: str(item.get("type") or item["content"][0]["type"])
)
def test_base64_is_not_counted_as_text(item: dict[str, Any]) -> None:
    document = {"model": "gpt-4o", "input": [item] * 3, "max_output_tokens": 100}
    found = ask(Operation.RESPONSES, document)
    assert 3 * MEDIA_TOKENS <= found.tokens_in < 3 * MEDIA_TOKENS + 100
    assert found.terms.unseen_in + found.tokens_in == 128_000  # reserved: all that it can be


def test_what_a_model_reads_as_text_is_counted_whatever_it_is_called() -> None:
    words = "word " * 2_000
    documents: tuple[dict[str, Any], ...] = (
        {"tools": [{"type": "function", "function": {"parameters": {"type": "file", "file": words}}}]},
        {
            "input": [
                {
                    "type": "message",
                    "content": [{"type": "input_text", "text": f"data:image/png;base64,{words}"}],
                }
            ]
        },
        {"input": [{"type": "function_call", "name": "f", "arguments": words, "data": words}]},
    )
    for document in documents:
        assert count_input(document, MINI).text >= tokens(words)


def test_many_images_do_not_exceed_a_window_they_fit_in() -> None:
    images = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}] * 100
    document = chat(messages=[{"role": "user", "content": images}], max_tokens=10)
    assert ask(Operation.CHAT, document).tokens_in > 128_000  # at their dearest, and not refused


@given(
    st.sampled_from([Operation.CHAT, Operation.RESPONSES]),
    st.fixed_dictionaries(
        {"model": st.sampled_from(["gpt-4o-mini", "gpt-5", "o3", "ft:gpt-4o-mini:a::b", "gpt-9"])},
        optional={
            "messages": st.lists(
                st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=9)}), max_size=3
            ),
            "input": st.one_of(
                st.text(max_size=9),
                st.lists(st.fixed_dictionaries({"content": st.text(max_size=9)}), max_size=2),
            ),
            "max_tokens": st.one_of(st.none(), st.integers(0, 9_000)),
            "max_completion_tokens": st.one_of(st.none(), st.integers(0, 9_000)),
            "max_output_tokens": st.one_of(st.none(), st.integers(0, 9_000)),
            "service_tier": st.sampled_from([None, "auto", "flex", "priority", "scale", 7]),
            "store": st.booleans(),
            "stream": st.booleans(),
        },
    ),
    st.one_of(st.none(), st.integers(0, 9_000)),
)
def test_an_ordinary_calls_terms_are_those_of_any_call(
    operation: Operation, document: dict[str, object], ceiling: int | None
) -> None:
    """The short way, which most calls take, estimates as the long one does."""
    call = Call(operation, "POST", "/v1/x", b"", document, str(document["model"]))
    assert is_ordinary(document)
    short = estimate(call, ceiling)
    longer = {**document, "tools": []}  # no tool, but no ordinary call
    assert not is_ordinary(longer)
    assert estimate(replace(call, document=longer), ceiling) == short
