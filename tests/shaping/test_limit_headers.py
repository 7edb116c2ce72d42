"""What replies tell of the broker's limits: OpenAI's form, read back by what its clients read it with."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.model.charge import LimitState, Unit
from broker.shaping.limit_headers import duration, exceeded_headers, limit_headers

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
STATES = st.builds(
    LimitState,
    st.sampled_from(Unit),
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.none() | st.floats(0, 10**7),
)


def seconds_of(text: str) -> float:
    parts = _PART.findall(text)
    assert "".join(number + unit for number, unit in parts) == text
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@given(st.floats(0, 10**8))
def test_a_duration_is_what_it_says_to_the_millisecond_and_never_nothing(seconds: float) -> None:
    told = seconds_of(duration(seconds))
    assert told > 0
    assert abs(told - seconds) <= max(0.001, 1e-6 * seconds)


@given(st.lists(STATES, max_size=6))
def test_each_unit_is_told_once_by_its_tightest_limit(states: list[LimitState]) -> None:
    told = dict(limit_headers(states))
    assert len([name for name in told if "-limit-" in name]) == len({state.unit for state in states})
    assert len([name for name in told if "-remaining-" in name]) == len({state.unit for state in states})
    for state in states:
        unit = state.unit.value.replace("_", "-")
        assert int(told[f"x-broker-ratelimit-remaining-{unit}"]) <= state.remaining
        same = [it for it in states if it.unit is state.unit]
        caps = {str(it.cap) for it in same if it.remaining == min(it.remaining for it in same)}
        assert told[f"x-broker-ratelimit-limit-{unit}"] in caps
        resets = {None if it.reset_seconds is None else duration(it.reset_seconds) for it in same}
        assert told.get(f"x-broker-ratelimit-reset-{unit}") in resets


def test_an_error_of_another_kind_tells_of_no_limit() -> None:
    assert exceeded_headers(BrokerError(Kind.RATE_LIMITED, "Too many refusals.", retry_after=1.0)) == ()
