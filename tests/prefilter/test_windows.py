"""A long text is searched by windows, gaps or none: where they end changes nothing that is found."""

from __future__ import annotations

from itertools import product

import pytest

from broker.model.finding import Text
from broker.prefilter import folding, inspector, matching
from broker.prefilter.inspector import TooManyFindingsError
from tests.inspectors import shared_inspector
from tests.prefilter.samples import MATCHES, TOPICS

HIDDEN = "\u200b"


def found(value: str) -> set[tuple[str, str]]:
    seen = shared_inspector(TOPICS).inspect([Text(("input",), value)])
    return {(one.rule, value[one.start : one.end]) for one in seen}


@pytest.mark.parametrize(("rule", "match"), MATCHES)
def test_a_match_is_found_wherever_a_window_ends(
    rule: str, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where gaps stretch it beyond what is looked at behind a window."""
    monkeypatch.setattr(matching, "_WINDOW", 64)
    monkeypatch.setattr(matching, "_FURTHEST", max(len(match) + 16, 64))
    for before, gaps in product((0, 63, 64, 127), (0, 1, 9, 300)):
        hidden = (HIDDEN * gaps).join(match)
        text = "so, " * 16 + "." * before + f" {hidden}, " + "and " * 40
        starts = [text.index(value) for each, value in found(text) if each == rule]
        assert starts == [text.index(hidden)], (before, gaps)


@pytest.mark.parametrize("gaps", [0, 1, 8, 9, 10, 1000])
def test_gaps_in_a_row_move_no_finding(gaps: int) -> None:
    hidden = HIDDEN * gaps
    text = f"{hidden}a@{hidden}b.example{hidden}, {hidden} and c@d.example{hidden}"
    assert {value.replace(HIDDEN, "") for _, value in found(text)} == {"a@b.example", "c@d.example"}


@pytest.mark.parametrize("value", ["", "a", "ﬁé" * 9, "a\u200b" * 40, "e\u0301" * 70, "ｓｋ" * 64])
def test_folding_by_slices_changes_nothing(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = folding.fold(value)
    monkeypatch.setattr(folding, "_SLICE", 7)
    sliced = folding.fold(value)
    assert (sliced.text, sliced.plain, list(sliced.origins)) == (whole.text, whole.plain, list(whole.origins))


def test_more_matches_than_any_model_reads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 12, A.2: 16 MiB of addresses are 2,300,000 findings, which the event loop walked."""
    monkeypatch.setattr(inspector, "MOST_FINDINGS", 3)
    assert len(found("a@b.cc d@e.ff g@h.ii")) == 3
    with pytest.raises(TooManyFindingsError):
        found("a@b.cc d@e.ff g@h.ii j@k.ll")
