"""Redaction leaves nothing, changes nothing else, and not the original."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from broker.prefilter.redact import Vocabulary, redact
from broker.prefilter.texts import texts
from tests.inspectors import shared_inspector
from tests.prefilter.samples import MATCHES, TOPICS

KEY = "sk-proj-" + "aB3d" * 12
ESCAPED = "\\u002d"

_strings = st.one_of(
    st.text(max_size=8),
    st.builds(
        lambda a, m, b: f"{a} {m[1]} {b}", st.text(max_size=8), st.sampled_from(MATCHES), st.text(max_size=8)
    ),
)
_documents = st.dictionaries(
    _strings,
    st.recursive(
        _strings | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_strings, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def redacted(document: dict[str, object]) -> dict[str, object]:
    vocabulary = Vocabulary(lambda _: "tokens", lambda _: [1])
    return redact(document, shared_inspector(TOPICS).inspect(texts(document, vocabulary.decode)), vocabulary)


@given(_documents)
def test_redaction_leaves_no_match_is_idempotent_and_spares_the_original(document: dict[str, object]) -> None:
    before = copy.deepcopy(document)
    once = redacted(document)
    assert document == before
    assert shared_inspector(TOPICS).inspect(texts(once, lambda _: "tokens")) == ()
    assert redacted(once) == once


def test_only_the_span_is_covered_and_the_rest_is_shared() -> None:
    other = {"role": "system", "content": "x"}
    document: dict[str, object] = {"messages": [other, {"role": "user", "content": f"é {KEY}, {KEY}."}]}
    messages = redacted(document)["messages"]
    assert isinstance(messages, list)
    assert messages[0] is other
    assert messages[1]["content"] == "é [REDACTED:secret.openai_key], [REDACTED:secret.openai_key]."


def test_keys_of_one_object_stay_apart() -> None:
    document: dict[str, object] = {"metadata": {KEY: {KEY: 1}, KEY + "x": KEY, "plain": 2}}
    mark = "[REDACTED:secret.openai_key]"
    assert redacted(document) == {"metadata": {mark: {mark: 1}, f"{mark}#2": mark, "plain": 2}}


def test_what_was_seen_only_decoded_is_covered_where_it_stands() -> None:
    mark = "[REDACTED:secret.openai_key]"
    document: dict[str, object] = {"prompt": [[1, 2], [3]], "x": f"a {KEY.replace('-', ESCAPED)}\\n"}
    vocabulary = Vocabulary(lambda ids: KEY if ids == [1, 2] else "fine", lambda text: [len(text)])
    findings = shared_inspector(TOPICS).inspect(texts(document, vocabulary.decode))
    expected = {"prompt": [[len(mark)], [3]], "x": f"a {mark}\\n"}
    assert redact(document, findings, vocabulary) == expected
