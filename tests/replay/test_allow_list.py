"""Allow-lists: strictly read, matched by pattern, and worth nothing after their day."""

from __future__ import annotations

import json
from datetime import date

import pytest

from broker.replay.allow_list import AllowListError, parse_allow_list, review
from broker.replay.decision_diff import Direction, Flip, Occurrences

TODAY = date(2026, 11, 24)
FLIP = Flip(Direction.DENY_TO_ALLOW, "calls", "model_not_granted", "granted", "spiffe://d/a", "chat", "gpt-5")
ENTRY = {
    "point": "calls",
    "subject": "spiffe://d/*",
    "operation": "chat",
    "model": "gpt-*",
    "rule": "model_not_granted",
    "reviewed_by": "sec",
    "until": "2026-11-24",
}


def _list(*entries: dict[str, object]) -> bytes:
    return json.dumps({"flips": entries}).encode()


def test_a_flip_is_covered_up_to_the_last_day() -> None:
    (entry,) = parse_allow_list(_list(dict(ENTRY)))
    seen = [(FLIP, Occurrences(3, []))]
    assert review(seen, [entry], TODAY).uncovered == 0
    assert review(seen, [entry], TODAY).reviewers == {FLIP: entry}
    tomorrow = review(seen, [entry], date(2026, 11, 25))
    assert (tomorrow.uncovered, tomorrow.expired, tomorrow.unused) == (3, (entry,), ())


@pytest.mark.parametrize(
    ("field", "pattern"),
    [
        ("point", "tokens"),
        ("subject", "spiffe://e/*"),
        ("operation", "chat.*"),
        ("model", "gpt-4*"),
        ("rule", "granted"),
        ("model", "gpt.5"),
        ("model", ""),
    ],
)
def test_every_field_must_match(field: str, pattern: str) -> None:
    entries = parse_allow_list(_list({**ENTRY, field: pattern}))
    found = review([(FLIP, Occurrences(2, []))], entries, TODAY)
    assert (found.uncovered, found.unused) == (2, entries)


def test_an_allow_to_deny_needs_no_review() -> None:
    narrower = Flip(Direction.ALLOW_TO_DENY, "calls", "granted", "no", "s", "chat", "m")
    assert review([(narrower, Occurrences(9, []))], (), TODAY).uncovered == 0


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "not JSON"),
        (b"[]", "`flips`"),
        (b'{"flips": {}}', "`flips`"),
        (b'{"flips": [], "more": 1}', "`flips`"),
        (b'{"flips": [], "flips": []}', "same key twice"),
        (_list({k: v for k, v in ENTRY.items() if k != "model"}), "flips[0] does not have exactly"),
        (_list(dict(ENTRY), {**ENTRY, "comment": ""}), "flips[1] does not have exactly"),
        (_list({**ENTRY, "model": None}), "flips[0].model is not a string"),
        (_list({**ENTRY, "reviewed_by": " "}), "flips[0].reviewed_by is empty"),
        (_list({**ENTRY, "until": "2026-02-30"}), "flips[0].until is not a day"),
        (_list({**ENTRY, "until": "20261124"}), "flips[0].until is not a day"),
    ],
)
def test_anything_else_is_no_allow_list(raw: bytes, told: str) -> None:
    with pytest.raises(AllowListError) as refused:
        parse_allow_list(raw)
    assert told in str(refused.value)
