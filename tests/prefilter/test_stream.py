"""The guarantee: no character of a match leaves, however the stream is split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.model.finding import Text
from broker.prefilter.rules import rules
from broker.prefilter.stream import LIMIT, CutError, StreamFilter
from tests.inspectors import shared_inspector
from tests.prefilter.samples import MATCHES, NEAR_MISSES, TOPICS

WATCHED = rules(TOPICS)
HIDDEN = st.sampled_from(["", "", "", "\u200b", "\u00ad", "\0"])


def everything() -> StreamFilter:
    return StreamFilter(lambda _: True, WATCHED)


def only(rule: str) -> StreamFilter:
    return StreamFilter(lambda asked: asked == rule, WATCHED)


def pieces(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def released(scanner: StreamFilter, parts: list[str]) -> tuple[int, str | None]:
    """How far the stream got, and the rule that ended it."""
    safe = fed = 0
    try:
        for part in parts:
            fed += len(part)
            now = scanner.feed("c", part)
            assert safe <= now <= fed
            safe = now
        return scanner.finish("c"), None
    except CutError as cut:
        return safe, cut.rule


@given(st.text(max_size=20), st.sampled_from(MATCHES), st.text(max_size=20), st.lists(st.integers(0, 400)))
def test_no_character_of_a_match_leaves_however_split(
    before: str, sample: tuple[str, str], after: str, cuts: list[int]
) -> None:
    rule, match = sample
    safe, cut = released(only(rule), pieces(f"{before} {match} {after}", cuts))
    assert cut == rule
    assert safe <= len(before) + 1


@pytest.mark.parametrize(("rule", "match"), MATCHES)
def test_secret_one_character_at_a_time_is_cut(rule: str, match: str) -> None:
    assert released(only(rule), list(f"so: {match}.")) == (4, rule)
    assert released(only(rule), list(f"so: {match}")) == (4, rule)
    safe, cut = released(everything(), list(f"so: {match}."))
    assert cut is not None
    assert safe <= 4


@given(st.sampled_from(MATCHES), st.data())
def test_secret_split_by_zero_width_in_a_stream_is_cut(sample: tuple[str, str], data: st.DataObject) -> None:
    rule, match = sample
    hidden = "".join(character + data.draw(HIDDEN) for character in match)
    parts = pieces(f"so: {hidden}.", data.draw(st.lists(st.integers(0, 400))))
    safe, cut = released(only(rule), parts)
    assert cut == rule
    assert safe <= 4


FRAGMENTS = st.sampled_from(
    [
        *"sk-eyJ.@+1 4(\n",
        "sk-proj-",
        "AKIA",
        "4111",
        " 1111",
        "aB3d" * 4,
        "ann@",
        "ex.",
        "com",
        "ignore ",
        "previous",
    ]
    + [match for _, match in MATCHES]
)


AN_IBAN_IN_A_LONGER_WORD = "DE89370400440532013000aB3daB3daB3daB3d"
SEEN_AND_UNSEEN = st.one_of(
    FRAGMENTS,
    st.sampled_from(
        ["\u200b", "\u00ad", "\u0301", "x", "e\u0301", "ﬁ", "4", " ", "_", ".", "-", "4111111111111111"]
    ),
)


@given(st.lists(SEEN_AND_UNSEEN, max_size=12).map("".join), st.lists(st.integers(0, 900), max_size=12))
@example(AN_IBAN_IN_A_LONGER_WORD, [23])
@example("0.5855618635076387", [1, 2, 9])
@example("4111111111111111.5 4111111111111111. ", [16, 17, 35, 36])
@example("4111-1111-1111-1111-1111 x-4111111111111111-", [19, 20, 27, 43])
@example(f"\u200b {AN_IBAN_IN_A_LONGER_WORD}", [25])
@example("e\u0301AKIAIOSFODNN7EXAMPLE ", [2])
def test_the_stream_cuts_before_whatever_the_inspector_finds(text: str, cuts: list[int]) -> None:
    findings = shared_inspector(TOPICS).inspect([Text(("c",), text)])
    safe, cut = released(everything(), pieces(text, cuts))
    assert (cut is not None) == bool(findings)
    assert safe <= min((finding.start for finding in findings), default=len(text))


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_leaves_whole_at_finish(text: str) -> None:
    assert released(everything(), list(text)) == (len(text), None)


@given(st.text(alphabet="abc xyz,.\n é漢", max_size=60), st.lists(st.integers(0, 60)))
def test_clean_text_leaves_whole_at_finish(text: str, cuts: list[int]) -> None:
    assert released(everything(), pieces(text, cuts)) == (len(text), None)


def test_prose_leaves_at_once() -> None:
    scanner = StreamFilter(lambda rule: rule.startswith("secret."))
    fed = 0
    for delta in ("The", " quick", " brown", " fo", "x jum", "ps, o", "k", ".\n", "Größ", "e 漢字"):
        fed += len(delta)
        assert scanner.feed(0, delta) == fed


def test_a_number_is_held_only_until_it_cannot_be_a_card() -> None:
    scanner = only("pii.payment_card")
    assert scanner.feed(0, "room 4111") == 5
    assert scanner.feed(0, "a") == 10


def test_channels_do_not_complete_each_other() -> None:
    scanner = only("secret.aws_access_key")
    scanner.feed(0, "AKIAIOSFODNN")
    assert scanner.feed(1, "7EXAMPLE ") == 9
    with pytest.raises(CutError, match=r"secret\.aws_access_key"):
        scanner.feed(0, "7EXAMPLE ")
    with pytest.raises(CutError):  # and the whole reply stays cut
        scanner.feed(1, "more")


def test_nothing_is_held_when_nothing_cuts() -> None:
    scanner = StreamFilter(lambda _: False)
    assert [scanner.feed(0, "sk-proj-"), scanner.feed(0, "aB3d" * 12), scanner.finish(0)] == [8, 56, 56]


def test_endless_invisible_text_is_cut_instead_of_held() -> None:
    scanner = only("secret.openai_key")
    assert scanner.feed(0, "sk-proj-") == 0
    assert scanner.feed(0, "\u200b" * (LIMIT - 8)) == 0
    with pytest.raises(CutError):
        scanner.feed(0, "\u200b")


def test_an_empty_channel_finishes() -> None:
    assert everything().finish("never fed") == 0


@pytest.mark.parametrize("at", range(len(AN_IBAN_IN_A_LONGER_WORD) + 1))
def test_a_stream_is_not_cut_where_the_whole_text_has_no_finding(at: int) -> None:
    assert shared_inspector(TOPICS).inspect([Text(("c",), AN_IBAN_IN_A_LONGER_WORD)]) == ()
    parts = [AN_IBAN_IN_A_LONGER_WORD[:at], AN_IBAN_IN_A_LONGER_WORD[at:]]
    assert released(everything(), parts) == (len(AN_IBAN_IN_A_LONGER_WORD), None)
