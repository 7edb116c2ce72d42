"""What a client would put together is seen together: a canary cut anywhere, over events in each legal way.

A client adds up what comes at one place (the SDKs' accumulators, identifiers of a delta included), or prints
each delta of a kind as it comes, whichever part or item it is of. What nobody joins is not joined here: texts
of different fields, of different kinds of event, and snapshots, which replace what came before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker.prefilter.together import joined, shown_together, spread
from tests.inspectors import shared_inspector
from tests.prefilter.test_reply_types import ALL, passed

SECRET, IBAN, MAIL = "AKIAIOSFODNN7EXAMPLE", "DE89370400440532013000", "carol.doe@example.org"
Way = Callable[[list[str]], list[dict[str, Any]]]


def chat(delta: Callable[[int, str], dict[str, Any]]) -> Way:
    return lambda pieces: [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "model": "gpt-4o",
            "choices": [{"index": 0, "delta": delta(number, piece), "finish_reason": None}],
        }
        for number, piece in enumerate(pieces)
    ]


def tool(**more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **more}]}


def response(kind: str, place: Callable[[int], dict[str, Any]]) -> Way:
    return lambda pieces: [
        {"type": f"response.{kind}.delta", "sequence_number": number, **place(number), "delta": piece}
        for number, piece in enumerate(pieces)
    ]


def completions(pieces: list[str]) -> list[dict[str, Any]]:
    return [{"id": "cmpl-1", "choices": [{"index": 0, "text": piece}]} for piece in pieces]


def one(_: int) -> dict[str, Any]:
    return {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def parts(number: int) -> dict[str, Any]:
    return {"item_id": "msg_1", "output_index": 0, "content_index": number}


def items(number: int) -> dict[str, Any]:
    return {"item_id": f"msg_{'abcdefg'[number]}", "output_index": number, "content_index": 0}


def calls(number: int) -> dict[str, Any]:
    return {"item_id": f"fc_{'abcdefg'[number]}", "output_index": number}


def summaries(number: int) -> dict[str, Any]:
    return {"item_id": "rs_1", "output_index": 0, "summary_index": number}


WAYS: dict[str, Way] = {
    "a chat's text": chat(lambda _, piece: {"content": piece}),
    "a chat's refusal": chat(lambda _, piece: {"refusal": piece}),
    "a function's arguments": chat(lambda _, piece: {"function_call": {"arguments": piece}}),
    "a tool's arguments": chat(lambda _, piece: tool(function={"arguments": piece})),
    "a custom tool's input": chat(lambda _, piece: tool(custom={"input": piece})),
    "the arguments of one tool call after another": chat(
        lambda number, piece: {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}
    ),
    "a tool call's id": chat(lambda _, piece: tool(id=piece)),
    "a role": chat(lambda _, piece: {"role": piece}),
    "a tool's name": chat(lambda _, piece: tool(function={"name": piece})),
    "what is spoken": chat(lambda _, piece: {"audio": {"transcript": piece}}),
    "a completion": completions,
    "one part": response("output_text", one),
    "one part after another": response("output_text", parts),
    "one item after another": response("output_text", items),
    "one refusal after another": response("refusal", items),
    "a call's arguments": response("function_call_arguments", lambda _: calls(0)),
    "the arguments of one call after another": response("function_call_arguments", calls),
    "the input of one custom tool after another": response("custom_tool_call_input", calls),
    "one summary after another": response("reasoning_summary_text", summaries),
    "one thought after another": response("reasoning_text", items),
    "the code of one interpreter after another": response("code_interpreter_call_code", calls),
}


def halves(canary: str) -> list[list[str]]:
    return [[canary[:at], canary[at:]] for at in range(1, len(canary))]


def thirds(canary: str) -> list[list[str]]:
    return [[canary[:at], canary[at : at + 3], canary[at + 3 :]] for at in range(1, len(canary) - 3, 4)]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("canary", [SECRET, IBAN, MAIL], ids=["a secret", "an IBAN", "an address"])
def test_a_canary_cut_anywhere_is_never_put_together_by_a_client(way: Way, canary: str) -> None:
    for pieces in [*halves(canary), *thirds(canary)]:
        padded = ["so, " + pieces[0], *pieces[1:-1], pieces[-1] + " it is. "]
        documents = way(padded)
        out, cut = passed(documents, everything=True)
        left = b"".join(out.split())
        assert cut, pieces
        assert not all(f'"{piece}"'.replace(" ", "").encode() in left for piece in padded), pieces


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_holds_nothing_goes_through_whole(way: Way) -> None:
    pieces = ["so, it is DE89 ", "days of rain, ", "and AKI", "n to it. "]
    out, cut = passed(way(pieces), everything=True)
    assert not cut
    assert all(piece.encode() in out for piece in pieces)


@pytest.mark.parametrize("canary", [SECRET, IBAN])
def test_a_finished_text_that_repeats_its_deltas_is_seen_whole(canary: str) -> None:
    """Where deltas and snapshot differ, the snapshot is read by itself."""
    deltas = response("output_text", one)(["all ", "is ", "well"])
    place = one(0)
    done: dict[str, Any] = {"type": "response.output_text.done", **place, "text": f"so, {canary} it is"}
    _, cut = passed([*deltas, done], everything=True)
    assert cut
    message = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": canary}]}
    whole = {"type": "response.completed", "response": {"object": "response", "output": [message]}}
    _, cut = passed([*deltas, whole], everything=True)
    assert cut


def whole_response(pieces: list[str], *, apart: bool) -> dict[str, Any]:
    """A response whose texts are these: in one message, or each in its own."""
    texts = [{"type": "output_text", "text": piece, "annotations": []} for piece in pieces]
    contents = [[text] for text in texts] if apart else [texts]
    output = [{"type": "message", "id": "msg_1", "role": "assistant", "content": each} for each in contents]
    return {"object": "response", "id": "resp_1", "status": "completed", "output": output}


@pytest.mark.parametrize("apart", [False, True], ids=["parts", "messages"])
@pytest.mark.parametrize("canary", [SECRET, IBAN, MAIL], ids=["a secret", "an IBAN", "an address"])
def test_a_canary_over_the_texts_of_one_response_is_seen(canary: str, apart: bool) -> None:
    for pieces in halves(canary):
        document = whole_response(["so, " + pieces[0], pieces[1] + " it is"], apart=apart)
        _, cut = passed([{"type": "response.completed", "response": document}], everything=True)
        assert cut, pieces
        parts = shown_together(document)
        found = list(spread(shared_inspector(watched=ALL).inspect([joined(parts)]), parts))
        assert found
        for finding, part in zip(found, parts, strict=True):
            assert part.value[finding.start : finding.end] in canary
            assert finding.path == part.path
    alone = shown_together(whole_response([f"so, {canary} ", "it is"], apart=apart))
    assert (
        list(spread(shared_inspector(watched=ALL).inspect([joined(alone)]), alone)) == []
    )  # it is found where it is
