"""`--since` and `--until`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.cli.policy.period import period
from broker.errors import BrokerError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T10:00", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20T10:00Z", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20T10:00+02:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
    ],
)
def test_since_holds_from_its_moment_on(text: str, moment: datetime) -> None:
    found = period(text, None, NOW)
    assert [found.holds(_us(moment) + add) for add in (-1, 0)] == [False, True]
    assert [period(None, text, NOW).holds(_us(moment) + add) for add in (-1, 0)] == [True, False]


def test_no_option_is_always() -> None:
    assert period(None, None, NOW).holds(0)


@pytest.mark.parametrize("text", ["yesterday", "7", "7y", "", "999999w", "2026-13-01"])
def test_what_is_no_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(BrokerError, match="--since is neither"):
        period(text, None, NOW)


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(BrokerError, match="not before"):
        period("1h", "2h", NOW)
