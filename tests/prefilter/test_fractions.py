"""Digits behind a decimal point or comma are no card, wherever they stand; cells of a list are looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.finding import Text
from broker.prefilter import checks
from broker.prefilter.stream import CutError, StreamFilter
from tests.inspectors import shared_inspector

CARD = "4111111111111111"


def _whole_card(first: str, length: int, filling: int) -> str:
    body = f"{first}{filling:018}"[: length - 1]
    return next(body + check for check in "0123456789" if checks.luhn(body + check))


_ISSUED = [(first, length) for (first, _), lengths, _ in checks.ISSUERS for length in lengths]
cards = st.builds(
    lambda issued, filling: _whole_card(issued[0], issued[1], filling),
    st.sampled_from(_ISSUED),
    st.integers(0, 10**18 - 1),
).filter(lambda number: checks.payment_card(number) > 0)
whole_parts = st.integers(0, 99_999).map(str) | st.sampled_from(["1.234", "12 345", "1'234.567"])


def is_found(text: str) -> bool:
    return bool(shared_inspector().inspect([Text(("x",), text)]))


def is_cut(*parts: str) -> bool:
    """Whether a stream of these parts ends at a card."""
    scanner = StreamFilter(lambda rule: rule == "pii.payment_card")
    try:
        for part in parts:
            scanner.feed(0, part)
        scanner.finish(0)
    except CutError:
        return True
    return False


IN_SENTENCES = [
    "Wert {}", "Es sind {}.", "um {} % mehr", "um {}%", "Wert {}\n", "Wert: {}\nund", "Wert = {}\r\n",
    "über {} km", "rund {}, also viel", "kalt (rund {})", "ist {}; aber", "-{}", "um +{}\n", "mehr als {}?",
    "€{}", "zwischen 0,3 und {}", "also, kurz: {}", "{} von 5", "x ≈ {} °C",
]  # fmt: skip


@given(cards, whole_parts, st.sampled_from(IN_SENTENCES), st.sampled_from(",."))
def test_the_fraction_of_a_number_in_a_sentence_is_no_card(
    card: str, whole: str, sentence: str, point: str
) -> None:
    for text in (
        sentence.format(f"{whole}{point}{card}"),
        f"[1, 2]\n{sentence.format(whole + point + card)}",
    ):
        assert not is_found(text)
        assert not is_cut(*text)


ALONE = ["{}", "{}\n", "{}\r\n", "{}\nund", "1. Zeile\n{}\n2. Zeile", '"{}"', "  {}\n0,5\n", "'{}'"]


@given(cards, st.sampled_from(ALONE))
def test_a_number_that_begins_with_a_zero_alone_on_its_line_is_no_card(card: str, line: str) -> None:
    for number in (f"0,{card}", f"0.{card}"):
        assert not is_found(line.format(number))
        assert not is_cut(*line.format(number))


@given(cards, whole_parts, st.sampled_from([*ALONE, "({})", "[{}]", "{};7", "7,{}", "<td>{}</td>", "a,{},b"]))
def test_behind_a_decimal_point_there_is_no_card_at_any_place(card: str, whole: str, around: str) -> None:
    assert not is_found(around.format(f"{whole}.{card}"))


LISTS = [
    "{},{}", "{},{} ok", "{}, {}", "7,{}", "7,{}\n", "7,{}\r\n8,{}", "0,{}\n1,{}\n", "id,card\n0,{}\n",
    "a,3,{}", "a,3,{} ,b", "Meier,Hauptstraße 3,{}\n", "7,12,{} x", "[1,{}]", "(1,{})", "VALUES (0,{})",
    "1,{},07", "1,{};2,{}", "1;{}", "{};{}", "a\t3,{}", "3,{}\t5", "a|1,{}|", '{{"a":[1,{}]}}', '"7",{}',
    "Karte,{}", "x1,{}", "<td>1,{}</td>", "12345678901234,{} und", "7,{}|b", "[0,{}]", ",{}\n0,{}",
]  # fmt: skip


@given(cards, cards, st.sampled_from(LISTS))
def test_a_card_in_a_list_is_found(one: str, other: str, line: str) -> None:
    text = line.format(one, other)
    found = shared_inspector().inspect([Text(("x",), text)])
    assert len(found) == line.count("{}")
    assert is_cut(*text)


@given(st.sampled_from([*IN_SENTENCES, *ALONE, *LISTS]), st.sampled_from(["0,", "3,", "3.", ""]), st.data())
def test_a_stream_is_cut_exactly_where_the_whole_text_has_a_card(
    around: str, whole: str, data: st.DataObject
) -> None:
    text = around.format(whole + CARD, CARD)
    at = data.draw(st.integers(0, len(text)))
    assert is_cut(text[:at], text[at:]) is is_found(text)
    assert is_cut(*text) is is_found(text)


@pytest.mark.parametrize("hidden", ["0,\u200b{}", "0\u200b,{}", "Wert\u200b 0,{}"])
def test_what_nobody_sees_makes_no_fraction(hidden: str) -> None:
    assert is_found(hidden.format(CARD))


def test_the_text_before_is_another_one() -> None:
    assert not shared_inspector().inspect(
        [Text(("x",), "a,b"), Text(("y",), f"0,{CARD}"), Text(("z",), "1,2")]
    )
    assert shared_inspector().inspect([Text(("x",), "Wert 0,"), Text(("y",), CARD)])
