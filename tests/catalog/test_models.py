"""The models' facts fit together, and names find their model."""

from __future__ import annotations

from datetime import date
from email.utils import parsedate_to_datetime

import pytest

from broker.catalog.estimate import check_retired, deprecation_headers
from broker.catalog.models import _TABLE, UNKNOWN, Model, find
from broker.errors import BrokerError, Kind

GPT_3 = "text-davinci-003"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),  # a snapshot with a price of its own
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-turbo-2024-04-09", "gpt-4-turbo"),
        ("ft:gpt-4o-mini-2024-07-18:org:name:id", "gpt-4o-mini"),
        ("ft:davinci-002:org::id", "davinci-002"),
    ],
)
def test_a_name_finds_its_family(name: str, found: str) -> None:
    model = find(name)
    assert model is not None
    assert model.name == found


@pytest.mark.parametrize(
    "name", [None, "", "ft:", "ft:ft:gpt-4o", "gpt-4o-mini-tts", "gpt-4o-20240806", "GPT-4o", "gpt-4o "]
)
def test_a_name_we_do_not_know_is_not_taken_for_another(name: str | None) -> None:
    assert find(name) is None


@pytest.mark.parametrize("model", _TABLE, ids=lambda model: model.name)
def test_a_models_facts_fit_together(model: Model) -> None:
    assert 0 <= model.max_output <= model.context_window
    assert model.successor is None or model.shutdown is not None
    assert model.successor != model.name


def test_every_model_stands_in_the_table_once() -> None:
    names = [model.name for model in _TABLE]
    assert len(names) == len(set(names))


def test_an_unknown_model_has_no_window_to_be_over_and_the_longest_answer() -> None:
    assert UNKNOWN.context_window == 0
    assert UNKNOWN.max_output == max(model.max_output for model in _TABLE)


def test_a_model_is_retired_from_its_shutdown_day_on() -> None:
    model = find(GPT_3)
    check_retired(model, date(2024, 1, 3))
    with pytest.raises(BrokerError) as caught:
        check_retired(model, date(2024, 1, 4))
    error = caught.value
    assert (error.kind, error.param) == (Kind.MODEL_RETIRED, "model")
    assert error.details == {"successor": "gpt-3.5-turbo-instruct"}
    assert "gpt-3.5-turbo-instruct" in error.remedy


def test_a_retired_model_without_successor_still_has_a_remedy() -> None:
    with pytest.raises(BrokerError) as caught:
        check_retired(find("babbage-002"), date(2026, 9, 28))
    assert caught.value.remedy
    assert caught.value.details == {}


@pytest.mark.parametrize("name", [None, "gpt-99", "gpt-5.2"])
def test_a_model_without_an_end_is_never_retired(name: str | None) -> None:
    check_retired(find(name), date(2099, 1, 1))
    assert deprecation_headers(find(name)) == ()


def test_an_announced_end_is_told_in_the_headers() -> None:
    """RFC 9745: an `@` and unix seconds; RFC 8594: an HTTP date."""
    told = dict(deprecation_headers(find("gpt-4o")))
    assert told["sunset"] == "Thu, 14 Jan 2027 00:00:00 GMT"
    assert told["deprecation"].startswith("@")
    assert int(told["deprecation"][1:]) < parsedate_to_datetime(told["sunset"]).timestamp()
