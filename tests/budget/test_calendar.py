"""Windows by the calendar of a time zone, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.budget.window import Span, span_at
from broker.model.limit import CalendarPeriod, CalendarWindow
from broker.model.units import NS_PER_SECOND

BERLIN, KOLKATA, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/Havana")
SAO_PAULO, APIA = ZoneInfo("America/Sao_Paulo"), ZoneInfo("Pacific/Apia")
ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
DAYS = st.sampled_from([CalendarPeriod.DAY, CalendarPeriod.WEEK, CalendarPeriod.MONTH])
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


def at(said: str, zone: ZoneInfo, fold: int = 0) -> datetime:
    return datetime.fromisoformat(said).replace(tzinfo=zone, fold=fold)


def span(period: CalendarPeriod, moment: datetime, zone: ZoneInfo) -> Span:
    return span_at(CalendarWindow(period, zone), int(moment.timestamp()) * NS_PER_SECOND, UTC)


@pytest.mark.parametrize(
    ("period", "moment", "begins", "ends"),
    [
        (CalendarPeriod.MINUTE, at("2026-11-30T12:34:56", BERLIN), "2026-11-30T12:34", "2026-11-30T12:35"),
        (CalendarPeriod.HOUR, at("2026-11-30T12:34:56", KOLKATA), "2026-11-30T12:00", "2026-11-30T13:00"),
        (CalendarPeriod.DAY, at("2026-11-30T00:00:00", BERLIN), "2026-11-30T00:00", "2026-12-01T00:00"),
        (CalendarPeriod.WEEK, at("2026-11-29T23:59:59", BERLIN), "2026-11-23T00:00", "2026-11-30T00:00"),
        (CalendarPeriod.MONTH, at("2024-02-29T12:00:00", BERLIN), "2024-02-01T00:00", "2024-03-01T00:00"),
        (CalendarPeriod.MONTH, at("2026-12-31T23:59:59", BERLIN), "2026-12-01T00:00", "2027-01-01T00:00"),
        # 23 hours, 25 hours; a day that begins at one, as its clocks skip midnight; one that never was
        (CalendarPeriod.DAY, at("2026-03-29T12:00:00", BERLIN), "2026-03-29T00:00", "2026-03-30T00:00"),
        (
            CalendarPeriod.DAY,
            at("2026-10-25T02:30:00", BERLIN, fold=1),
            "2026-10-25T00:00",
            "2026-10-26T00:00",
        ),
        (CalendarPeriod.DAY, at("2018-11-04T12:00:00", SAO_PAULO), "2018-11-04T01:00", "2018-11-05T00:00"),
        (
            CalendarPeriod.DAY,
            at("2026-11-01T00:30:00", HAVANA, fold=1),
            "2026-11-01T00:00",
            "2026-11-02T00:00",
        ),
        (CalendarPeriod.DAY, at("2011-12-29T12:00:00", APIA), "2011-12-29T00:00", "2011-12-31T00:00"),
    ],
)
def test_a_period_begins_and_ends_by_its_own_calendar(
    period: CalendarPeriod, moment: datetime, begins: str, ends: str
) -> None:
    zone = moment.tzinfo
    assert isinstance(zone, ZoneInfo)
    start, seconds, slices = span(period, moment, zone)
    edges = [datetime.fromtimestamp(each, zone) for each in (start, start + seconds)]
    assert [edge.strftime("%Y-%m-%dT%H:%M") for edge in edges] == [begins, ends]
    assert slices == 1


def test_a_limit_that_names_no_zone_counts_by_the_brokers() -> None:
    now = at("2026-11-30T23:30:00", ZoneInfo("UTC"))
    window = CalendarWindow(CalendarPeriod.DAY, None)
    start, _, _ = span_at(window, int(now.timestamp()) * NS_PER_SECOND, BERLIN)
    assert datetime.fromtimestamp(start, BERLIN).date() == at("2026-12-01T00:00:00", BERLIN).date()


@given(DAYS, MOMENTS, ZONES)
def test_periods_follow_each_other_without_a_gap_and_hold_their_moment(
    period: CalendarPeriod, moment: datetime, zone: ZoneInfo
) -> None:
    start, seconds, _ = span(period, moment, zone)
    assert start <= moment.timestamp() < start + seconds
    last = datetime.fromtimestamp(start + seconds - 1, UTC)
    after = datetime.fromtimestamp(start + seconds, UTC)
    assert span(period, last, zone) == (start, seconds, 1)
    assert span(period, after, zone).start == start + seconds


@given(st.sampled_from([CalendarPeriod.MINUTE, CalendarPeriod.HOUR]), MOMENTS, ZONES)
def test_hours_and_minutes_begin_by_the_clock_on_the_wall(
    period: CalendarPeriod, moment: datetime, zone: ZoneInfo
) -> None:
    start, seconds, _ = span(period, moment, zone)
    assert start <= moment.timestamp() < start + seconds
    begin = moment.astimezone(zone) - timedelta(seconds=int(moment.timestamp()) - start)
    assert (begin.second, begin.minute if period is CalendarPeriod.HOUR else 0) == (0, 0)
