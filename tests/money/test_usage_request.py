"""Upstream is asked for the usage of every stream; every byte that can stay as it was stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.operation import Operation
from broker.shaping.usage_request import asking, asking_bytes, lacks_usage, unasked

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just('"stream_options"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(min_size=1, max_size=6), JSON, min_size=1, max_size=4)
OPTIONS = st.none() | st.fixed_dictionaries(
    {}, optional={"include_usage": st.just(False), "include_obfuscation": st.booleans(), "x": JSON}
)
INDENTS = st.sampled_from([None, 0, 1, "\t"])


@given(document=DOCUMENTS, indent=INDENTS, before=st.sampled_from(["", " ", "\r\n\t"]))
def test_a_stream_without_options_keeps_each_of_its_bytes(
    document: dict[str, Any], indent: Any, before: str
) -> None:
    body = (before + json.dumps(document, indent=indent, ensure_ascii=False)).encode("utf-8", "replace")
    asked = asking_bytes(body, document)
    assert asked is not None
    added = b'"stream_options":{"include_usage":true},'
    assert asked.replace(added, b"", 1) == body
    assert json.loads(asked) == asking(json.loads(body))


@given(document=DOCUMENTS, options=OPTIONS, indent=INDENTS, first=st.booleans())
def test_options_of_the_callers_own_keep_their_place_and_everything_beside_it(
    document: dict[str, Any], options: dict[str, Any] | None, indent: Any, first: bool
) -> None:
    own = {"stream_options": options}
    whole = {**own, **document} if first else {**document, **own}
    body = json.dumps(whole, indent=indent).encode()
    asked = asking_bytes(body, whole)
    if asked is not None:  # else it is written anew: its words cannot be told from its texts
        assert json.loads(asked) == asking(whole)
        head, _, _ = body.partition(b'"stream_options"')
        assert asked.startswith(head)


@pytest.mark.parametrize(
    ("operation", "document", "lacks"),
    [
        (Operation.CHAT, {"stream": True}, True),
        (Operation.CHAT, {"stream": True, "stream_options": None}, True),
        (Operation.CHAT, {"stream": True, "stream_options": {}}, True),
        (Operation.CHAT, {"stream": True, "stream_options": {"include_usage": False}}, True),
        (Operation.CHAT, {"stream": True, "stream_options": {"include_usage": True}}, False),
        (Operation.COMPLETIONS, {"stream": True}, True),
        (Operation.CHAT, {"stream": False}, False),
        (Operation.CHAT, {}, False),
        (Operation.CHAT, {"stream": True, "stream_options": "x"}, False),  # upstream's to refuse
        (Operation.RESPONSES, {"stream": True}, False),  # tells its usage unasked
    ],
)
def test_usage_is_asked_for_where_it_would_not_come(
    operation: Operation, document: dict[str, Any], lacks: bool
) -> None:
    assert lacks_usage(operation, document) is lacks


@given(document=DOCUMENTS, last=st.booleans(), spaced=st.booleans())
def test_an_event_is_as_it_would_have_come_unasked(
    document: dict[str, Any], last: bool, spaced: bool
) -> None:
    document.pop("usage", None)
    separators = (", ", ": ") if spaced else (",", ":")

    def data(value: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(value, separators=separators).encode() + b"\n\n"

    told = {**document, "usage": None} if last else {"usage": None, **document}
    shown = unasked(data(told), told)
    assert shown is not None
    if b'"usage"' not in data(document):
        assert shown == data(document)
    else:
        assert json.loads(shown[6:]) in (told, document)


@pytest.mark.parametrize(
    ("document", "goes_on"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 1}}, False),
        ({"choices": [{"index": 0}], "usage": {"prompt_tokens": 1}}, True),
        ({"choices": [], "prompt_filter_results": []}, True),
        ([1], True),
        ("[DONE]", True),
        (None, True),
    ],
)
def test_only_the_chunk_that_was_asked_for_is_kept_back(document: object, goes_on: bool) -> None:
    event = b"data: x\n\n"
    assert (unasked(event, document) == event) is goes_on
