"""The strict reading of what an engine answered: exactly a decision, or an error that names the field."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.model.answers import parse_admin_decision, parse_call_decision, parse_token_decision
from broker.model.charge import MOST_LIMITS, Unit, most_charges
from broker.model.decision import Action, PolicyVersion
from broker.model.limit import CalendarPeriod, CalendarWindow, FixedWindow, Limit, SlidingWindow, WindowRule
from broker.model.pool import Placement
from tests.sizes import sized

VERSION = PolicyVersion("2026-11-24", "ab" * 32)
ALLOWED: dict[str, object] = {
    "allow": True,
    "rule": "granted",
    "reason": "The role grants it.",
    "content": {"pii.email": "allow", "pii.iban": "redact"},
    "shape": {"model": "gpt-4o-mini", "set": {"n": 1}, "remove": ["logprobs"]},
    "account": "spiffe://x/a",
    "limits": {"requests/minute": {"unit": "requests", "cap": 60, "window_seconds": 60}},
    "models": ["b*", "a"],
    "response": {"cut": ["secret.*"], "redact": ["pii.*"]},
    "credential": "openai",
}
DENIED: dict[str, object] = {
    "allow": False,
    "rule": "content_blocked",
    "reason": "",
    "content": {"secret.jwt": "block"},
    "changes": [{"field": "content", "must": "absent", "values": ["secret.jwt"]}],
}
GRANTED: dict[str, object] = {
    "allow": True,
    "rule": "granted",
    "reason": "",
    "grant": {"scope": ["models", "chat:gpt-4o"], "ttl_seconds": 300, "user": None, "max_tokens": 100},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _changed(document: dict[str, object], path: str, value: object) -> dict[str, object]:
    """A copy with the value at a dotted path replaced, or removed where it is `...`."""
    changed = copy.deepcopy(document)
    *parents, last = path.split(".")
    node = changed
    for name in parents:
        child = node[name]
        assert isinstance(child, dict)
        node = child
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return changed


def _refusal(parse: Callable[[object, PolicyVersion], object], result: object) -> str:
    with pytest.raises(BrokerError) as caught:
        parse(result, VERSION)
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    return caught.value.message


def test_an_allowed_call_is_read_whole() -> None:
    decision = parse_call_decision(ALLOWED, VERSION, found=["pii.email", "pii.iban"])
    assert decision.allow is True
    assert decision.policy == VERSION
    assert decision.limits == (
        Limit("spiffe://x/a requests/minute", Unit.REQUESTS, 60, FixedWindow(60), "requests/minute"),
    )
    assert (decision.shape.model, decision.shape.set, decision.shape.remove) == (
        "gpt-4o-mini",
        {"n": 1},
        ("logprobs",),
    )
    assert decision.models == ("a", "b*")
    assert decision.content.action("pii.iban") is Action.REDACT
    assert decision.content.action("unheard.of") is Action.NONE


@pytest.mark.parametrize(
    ("said", "placement"),
    [
        ({"team": "claims"}, Placement("claims")),
        ({"region": "eu"}, Placement(None, "eu")),
        ({"team": "claims", "region": "eu"}, Placement("claims", "eu")),
    ],
)
def test_a_placement_is_read_whole(said: object, placement: Placement) -> None:
    assert parse_call_decision({**ALLOWED, "placement": said}, VERSION).placement == placement
    assert parse_call_decision(ALLOWED, VERSION).placement == Placement()


def test_a_limit_may_name_an_account_of_its_own() -> None:
    limits = {
        "a": {"account": "team:claims", "unit": "tokens", "cap": 1, "window_seconds": 2},
        "b": {"unit": "requests", "cap": 3, "window_seconds": 4},
    }
    decision = parse_call_decision({**ALLOWED, "limits": limits}, VERSION)
    assert {limit.key for limit in decision.limits} == {"team:claims a", "spiffe://x/a b"}


def test_a_window_may_be_as_long_as_a_record_can_say() -> None:
    limit = {"unit": "tokens", "cap": 1, "window_seconds": 2**53}
    [read] = parse_call_decision({**ALLOWED, "limits": {"a": limit}}, VERSION).limits
    assert read.rule == FixedWindow(2**53 - 1)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"window_seconds": 60}, FixedWindow(60)),
        ({"sliding_seconds": 60}, SlidingWindow(60)),
        ({"calendar": "month"}, CalendarWindow(CalendarPeriod.MONTH, None)),
        (
            {"calendar": "week", "time_zone": "Europe/Berlin"},
            CalendarWindow(CalendarPeriod.WEEK, ZoneInfo("Europe/Berlin")),
        ),
    ],
)
def test_the_window_of_a_limit_is_read(said: dict[str, object], rule: WindowRule) -> None:
    limit = {"unit": "tokens", "cap": 1, **said}
    [read] = parse_call_decision({**ALLOWED, "limits": {"a": limit}}, VERSION).limits
    assert (read.rule, read.observed, read.warn_percent) == (rule, False, 80)


@pytest.mark.parametrize("unit", [Unit.CONCURRENT_CALLS, Unit.CONCURRENT_STREAMS])
def test_what_is_held_has_no_window(unit: Unit) -> None:
    limit = {"unit": unit.value, "cap": 1, "observe": True}
    [read] = parse_call_decision({**ALLOWED, "limits": {"a": limit}}, VERSION).limits
    assert read == Limit("spiffe://x/a a", unit, 1, None, "a", observed=True)


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ({"unit": "tokens", "cap": 1}, "limits[…]"),
        ({"unit": "tokens", "cap": 1, "window_seconds": 60, "calendar": "day"}, "limits[…]"),
        ({"unit": "tokens", "cap": 1, "calendar": "year"}, "calendar"),
        ({"unit": "tokens", "cap": 1, "calendar": "day", "time_zone": "Europe/Berlni"}, "time_zone"),
        ({"unit": "tokens", "cap": 1, "calendar": "day", "time_zone": "../../etc/passwd"}, "time_zone"),
        ({"unit": "tokens", "cap": 1, "window_seconds": 60, "time_zone": "UTC"}, "*"),
        ({"unit": "tokens", "cap": 1, "sliding_seconds": 0}, "sliding_seconds"),
        ({"unit": "tokens", "cap": 1, "sliding_seconds": 366 * 86_400 + 1}, "sliding_seconds"),
        ({"unit": "tokens", "cap": 1, "window_seconds": 60, "warn_percent": 101}, "warn_percent"),
        ({"unit": "tokens", "cap": 1, "window_seconds": 60, "observe": "yes"}, "observe"),
        ({"unit": "requests", "cap": 1, "window_seconds": 60, "fit": True}, "fit"),
        ({"unit": "tokens", "cap": 1, "window_seconds": 60, "fit": True, "observe": True}, "fit"),
        ({"unit": "tokens", "cap": 1, "calendar": "day", "time_zone": "localtime"}, "time_zone"),
        ({"unit": "concurrent_streams", "cap": 1, "warn_percent": 90}, "warn_percent"),
        ({"unit": "concurrent_calls", "cap": 1, "window_seconds": 60}, "window_seconds"),
        ({"unit": "concurrent_streams", "cap": 1, "sliding_seconds": 60}, "sliding_seconds"),
        ({"unit": "concurrent_streams", "cap": 1, "calendar": "day"}, "calendar"),
    ],
)
def test_a_limit_that_says_too_little_or_too_much_is_no_decision(
    limit: dict[str, object], named: str
) -> None:
    assert f"{named}` " in _refusal(parse_call_decision, {**ALLOWED, "limits": {"a": limit}})


def test_a_call_has_no_more_limits_than_its_intent_can_name() -> None:
    limit = {"unit": "tokens", "cap": 1, "window_seconds": 60}
    for length in (10, 100, 128):
        names = [f"{number:0{length}}" for number in range(MOST_LIMITS)]
        most = most_charges(f"{ALLOWED['account']} {names[0]}")
        limits = dict.fromkeys(names[:most], limit)
        assert len(parse_call_decision({**ALLOWED, "limits": limits}, VERSION).limits) == most
        with pytest.raises(BrokerError, match="more than an intent has room for"):
            parse_call_decision({**ALLOWED, "limits": {**limits, names[most]: limit}}, VERSION)


def test_a_denied_call_is_read_whole() -> None:
    decision = parse_call_decision(DENIED, VERSION, found=["secret.jwt"])
    assert (decision.allow, decision.rule) == (False, "content_blocked")
    assert decision.content.block == frozenset({"secret.jwt"})
    assert (decision.credential, decision.limits, decision.cut) == ("", (), ())
    assert [str(change) for change in decision.changes] == ["content without secret.jwt"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        "n",
        {"field": "n", "must": "shrink", "values": []},
        {"field": "", "must": "absent", "values": []},
        {"field": "n", "must": "at_most", "values": [1]},
        {"field": "n", "must": "absent"},
    ],
)
def test_a_wrong_change_is_an_error(change: object) -> None:
    assert "changes[…]" in _refusal(parse_call_decision, {**DENIED, "changes": [change]})


def test_tokens_and_admin_are_read_whole() -> None:
    grant = parse_token_decision(GRANTED, VERSION).grant
    assert grant is not None
    assert (grant.scope, grant.ttl_seconds, grant.user, grant.max_tokens) == (
        ("chat:gpt-4o", "models"),
        300,
        None,
        100,
    )
    assert (
        parse_token_decision({"allow": False, "rule": "r", "reason": "", "changes": []}, VERSION).grant
        is None
    )
    assert parse_admin_decision({"allow": True, "rule": "r", "reason": ""}, VERSION).allow is True


@pytest.mark.parametrize("result", [None, {}, [], "allow", True, 1, {"allow": True}, {"result": ALLOWED}])
@pytest.mark.parametrize("parse", [parse_call_decision, parse_token_decision, parse_admin_decision])
def test_an_undefined_or_partial_answer_is_an_error_and_not_a_denial(
    parse: Callable[[object, PolicyVersion], object], result: object
) -> None:
    assert "is not a decision" in _refusal(parse, result)


@pytest.mark.parametrize("value", ["true", 1, 0, None, [], {}, "false"])
def test_allow_that_is_not_a_boolean_is_an_error(value: object) -> None:
    assert "broker.calls.allow" in _refusal(parse_call_decision, _changed(ALLOWED, "allow", value))


@pytest.mark.parametrize(
    "path", [path for path in ALLOWED if path != "shape"] + ["response.cut", "limits.requests/minute.unit"]
)
def test_a_missing_field_is_an_error_that_names_it(path: str) -> None:
    assert f"{path.rpartition('.')[2]}` is missing" in _refusal(
        parse_call_decision, _changed(ALLOWED, path, ...)
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rule", ""),
        ("rule", "a rule"),
        ("rule", "x" * 129),
        ("rule", "a\nb"),
        ("reason", "x" * 1001),
        ("reason", None),
        ("content", ["pii.email"]),
        ("content", {"pii.email": "ignore"}),
        ("content", {"pii.email": True}),
        ("content", {"pii.email": ["allow"]}),
        ("content", {"secret.jwt": "block"}),
        ("shape", None),
        ("shape.model", 4),
        ("shape.model", ""),
        ("shape.set", []),
        ("shape.remove", "logprobs"),
        ("shape.extra", 1),
        ("limits.requests/minute.account", ""),
        ("limits.requests/minute.account", None),
        ("account", ""),
        ("account", None),
        ("alert", ""),
        ("alert", None),
        ("placement", None),
        ("placement", {}),
        ("placement", "eu"),
        ("placement", {"region": None}),
        ("placement", {"region": ""}),
        ("placement", {"team": ["claims"]}),
        ("placement", {"region": "eu", "zone": "1"}),
        ("cache_for", -1),
        ("cache_for", True),
        ("changes", []),
        ("limits", []),
        ("limits.requests/minute.unit", "dollars"),
        ("limits.requests/minute.unit", None),
        ("limits.requests/minute.cap", -1),
        ("limits.requests/minute.cap", 1.5),
        ("limits.requests/minute.cap", True),
        ("limits.requests/minute.cap", "60"),
        ("limits.requests/minute.cap", 2**53 + 1),
        ("limits.requests/minute.window_seconds", 0),
        ("limits.requests/minute.burst", 5),
        ("models", "gpt-4o"),
        ("models", [1]),
        ("models", [""]),
        ("response", []),
        ("response.cut", ["*.secret"]),
        ("response.cut", ["sec*"]),
        ("response.redact", "pii.*"),
        ("response.redact", ["p*"]),
        ("credential", ""),
        ("credential", None),
        ("allowed", True),
    ],
)
def test_a_wrong_or_unknown_field_is_an_error(path: str, value: object) -> None:
    assert "broker.calls" in _refusal(parse_call_decision, _changed(ALLOWED, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("grant", ...),
        ("grant", None),
        ("grant.scope", []),
        ("grant.scope", ["chat gpt-4o"]),
        ("grant.scope", "chat"),
        ("grant.ttl_seconds", 0),
        ("grant.ttl_seconds", 1.0),
        ("grant.user", ...),
        ("grant.user", 7),
        ("grant.max_tokens", ...),
        ("grant.max_tokens", -1),
        ("grant.audience", "x"),
        ("extra", 1),
    ],
)
def test_a_wrong_grant_is_an_error(path: str, value: object) -> None:
    assert "broker.tokens" in _refusal(parse_token_decision, _changed(GRANTED, path, value))


def test_a_denial_that_carries_a_grant_is_an_error() -> None:
    denied = {**_changed(GRANTED, "allow", False), "changes": []}
    assert "unknown" in _refusal(parse_token_decision, denied)


def test_a_finding_policy_said_nothing_about_does_not_pass() -> None:
    with pytest.raises(BrokerError, match="every rule"):
        parse_call_decision(ALLOWED, VERSION, found=["pii.email", "secret.jwt"])


def test_an_error_never_quotes_the_answer() -> None:
    for field in ALLOWED:
        assert "canary-51" not in _refusal(
            parse_call_decision, _changed(ALLOWED, field, {"canary-51": "canary-51"})
        )


@settings(max_examples=sized(300))
@given(st.sampled_from(sorted(ALLOWED)), JSON)
def test_garbage_in_any_field_is_a_decision_or_an_error(field: str, garbage: object) -> None:
    with suppress(BrokerError):
        decision = parse_call_decision({**ALLOWED, field: garbage}, VERSION)
        assert decision.allow is True
        assert decision.credential
        assert decision.limits or field == "limits"


@settings(max_examples=sized(300))
@given(JSON)
def test_garbage_is_never_an_allowing_decision(garbage: object) -> None:
    for parse in (parse_call_decision, parse_token_decision, parse_admin_decision):
        assert "is not a decision" in _refusal(parse, garbage)


def test_reading_a_decision_is_quick() -> None:
    took = []
    for _ in range(2000):
        started = time.perf_counter()
        parse_call_decision(ALLOWED, VERSION)
        took.append(time.perf_counter() - started)
    assert sorted(took)[1000] < 60e-6  # 10 µs on an idle machine
