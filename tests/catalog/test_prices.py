"""The price table fits together, and names find their price: unknown ones the dearest that it could be."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalog.cost import MAX_AMOUNT, Tier, Tokens, cost, tier_of
from broker.catalog.models import _TABLE
from broker.catalog.prices import LONG_TOKENS, PRICE_VERSION, TABLE, Price, known_price, price_of

ROWS = [*TABLE.items()]
MILLION = 1_000_000


@pytest.mark.parametrize(("name", "price"), ROWS, ids=[name for name, _ in ROWS])
def test_a_price_fits_together(name: str, price: Price) -> None:
    assert 0 <= price.cached <= price.input, name
    assert price.output >= 0
    assert 0 < price.flex <= 1 <= price.fast <= price.ultrafast
    assert price.write >= 1
    assert price.regional >= 1


@pytest.mark.parametrize("model", _TABLE, ids=lambda model: model.name)
def test_every_known_model_has_a_price(model: object) -> None:
    assert known_price(getattr(model, "name", "")) is not None


def test_the_version_is_a_day() -> None:
    assert date.fromisoformat(PRICE_VERSION)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4-0613", "gpt-4"),
        ("ft:gpt-4o-mini-2024-07-18:org:name:id", "ft:gpt-4o-mini"),
        ("ft:davinci-002:org::id", "ft:davinci-002"),
    ],
)
def test_a_name_finds_its_price(name: str, row: str) -> None:
    assert price_of(name) == dict(ROWS)[row]


def test_a_fine_tuned_model_costs_more_than_its_base() -> None:
    for name, price in ROWS:
        base = dict(ROWS).get(name.removeprefix("ft:"))
        if name.startswith("ft:") and base is not None:
            assert price.input > base.input
            assert price.output > base.output


@pytest.mark.parametrize(
    ("name", "kin"),
    [
        ("gpt-5.9", "gpt-5"),
        ("gpt-4o-mini-new", "gpt-4o"),
        ("o3-ultra", "o3"),
        ("o9", "o"),
        ("gpt-99", "gpt-"),
        ("text-embedding-4", "text-embedding"),
        ("ft:gpt-4o-new:org::id", "ft:gpt-4o"),
        ("ft:gpt-4o-new:org::id", "gpt-4o-mini"),
        ("nobody-knows", ""),
    ],
)
def test_an_unknown_model_costs_what_the_dearest_of_its_family_does(name: str, kin: str) -> None:
    for known, price in ROWS:
        if known.startswith(kin) and not (kin == "o" and known.startswith("omni")):
            for part in ("input", "cached", "output", "fast", "write"):
                assert getattr(price_of(name), part) >= getattr(price, part), known
    assert price_of(name).flex <= 1


@given(st.text(max_size=300))
def test_any_name_has_a_price(name: str) -> None:
    assert price_of(name).input >= 0


def test_a_name_of_a_megabyte_is_priced_at_once_and_not_kept() -> None:
    assert price_of("gpt-5-" + "a" * MILLION) == price_of("gpt-5-" + "a" * 200)


@pytest.mark.parametrize(
    ("name", "tier", "tokens", "micro_usd"),
    [
        ("gpt-4o", Tier.FAST, Tokens(MILLION // 4, 0), 4_250_000 // 4),
        ("gpt-4o-mini", Tier.FAST, Tokens(100_000, 100_000), 25_000 + 100_000),
        ("gpt-5", Tier.FLEX, Tokens(100_000, 100_000), 62_500 + 500_000),
        ("gpt-5-mini", Tier.FAST, Tokens(100_000, 100_000), 45_000 + 360_000),
        ("gpt-6-astra", Tier.ULTRAFAST, Tokens(100_000, 0), 6_000_000),
        ("gpt-5.6-sol", Tier.STANDARD, Tokens(100_000, 0, written=100_000), 500_000),
        ("gpt-5.6-sol", Tier.STANDARD, Tokens(100_000, 0, cached=100_000), 40_000),
        ("gpt-5.4", Tier.STANDARD, Tokens(LONG_TOKENS, 0), 680_000),
        ("gpt-5.4", Tier.STANDARD, Tokens(LONG_TOKENS + 1, 100), 1_360_005 + 2_250),
        ("o3", Tier.FAST, Tokens(100_000, 100_000), 350_000 + 1_400_000),
    ],
)
def test_prices_of_the_pricing_page(name: str, tier: Tier, tokens: Tokens, micro_usd: int) -> None:
    assert cost(price_of(name), tokens, tier) == micro_usd


def test_a_region_costs_a_tenth_more_where_it_does() -> None:
    assert cost(price_of("gpt-5.4"), Tokens(100_000, 0), regional=True) == 275_000
    assert cost(price_of("gpt-4o"), Tokens(100_000, 0), regional=True) == 250_000


@given(st.sampled_from(ROWS), st.sampled_from(Tier), st.integers(0, 10**20), st.integers(0, 10**20))
def test_no_cost_overflows_a_record(
    row: tuple[str, Price], tier: Tier, tokens_in: int, tokens_out: int
) -> None:
    assert 0 <= cost(row[1], Tokens(tokens_in, tokens_out), tier) <= MAX_AMOUNT


@pytest.mark.parametrize("word", [None, "auto", "default", "scale", 7, []])
def test_words_of_the_standard_tier(word: object) -> None:
    assert tier_of(word) is Tier.STANDARD


def test_a_tier_that_nobody_knows_is_the_dearest() -> None:
    assert tier_of("warp") is Tier.ULTRAFAST
