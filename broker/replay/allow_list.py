"""The flips that somebody has reviewed: which DENY→ALLOW a gate lets pass, on whose word, until when.

Knows: the allow-list's form. Must not know: files. Strict: what is left out is not a wildcard, and a list
that cannot be read allows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import date

from broker import strictjson
from broker.model.wildcard import matches
from broker.replay.decision_diff import Direction, Flip, Occurrences

_PATTERNS = ("point", "subject", "operation", "model", "rule")


class AllowListError(ValueError):
    """The allow-list cannot be used; the message names the entry and the field."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One entry. `point` … `rule` are patterns in which `*` stands for any text, also none; `rule` is the
    one that denied. It counts up to and including the day `until`, in UTC.
    """

    point: str
    subject: str
    operation: str
    model: str
    rule: str
    reviewed_by: str
    until: date

    def covers(self, flip: Flip) -> bool:
        """Whether the entry speaks of this flip; its day is not looked at."""
        told = (flip.point, flip.subject, flip.operation, flip.model, flip.was)
        return all(matches(getattr(self, name), text) for name, text in zip(_PATTERNS, told, strict=True))


@dataclass(frozen=True, slots=True)
class Review:
    """What an allow-list says of a comparison: who reviewed each DENY→ALLOW, how many decisions nobody has,
    which entries had expired, and which spoke of nothing.
    """

    reviewers: dict[Flip, Reviewed] = field(default_factory=dict)
    uncovered: int = 0
    expired: tuple[Reviewed, ...] = ()
    unused: tuple[Reviewed, ...] = ()


def review(flips: Iterable[tuple[Flip, Occurrences]], entries: Iterable[Reviewed], today: date) -> Review:
    """Holds every DENY→ALLOW of `flips` against the entries that count on `today`."""
    entries = tuple(entries)
    counting = [entry for entry in entries if entry.until >= today]
    reviewers: dict[Flip, Reviewed] = {}
    uncovered = 0
    for flip, seen in flips:
        if flip.direction is not Direction.DENY_TO_ALLOW:
            continue
        entry = next((entry for entry in counting if entry.covers(flip)), None)
        if entry is None:
            uncovered += seen.count
        else:
            reviewers[flip] = entry
    used = set(reviewers.values())
    expired = tuple(entry for entry in entries if entry.until < today)
    return Review(reviewers, uncovered, expired, tuple(entry for entry in counting if entry not in used))


def parse_allow_list(raw: bytes) -> tuple[Reviewed, ...]:
    """Reads `{"flips": [{"point", "subject", "operation", "model", "rule", "reviewed_by", "until"}]}`.

    Raises AllowListError for a missing, unknown, mistyped or empty field and a day that is none.
    """
    try:
        document = strictjson.parse(raw, bounds=None)
    except strictjson.StrictJsonError as error:
        raise AllowListError(str(error)) from None
    if not isinstance(document, dict) or document.keys() != {"flips"} or type(document["flips"]) is not list:
        raise AllowListError("it is not an object with the one field `flips`, a list")
    return tuple(_entry(number, entry) for number, entry in enumerate(document["flips"]))


def _entry(number: int, entry: object) -> Reviewed:
    names = tuple(each.name for each in fields(Reviewed))
    if not isinstance(entry, dict) or entry.keys() != set(names):
        raise AllowListError(f"flips[{number}] does not have exactly the fields {', '.join(names)}")
    for name in names:
        if type(entry[name]) is not str:
            raise AllowListError(f"flips[{number}].{name} is not a string")
    if not entry["reviewed_by"].strip():
        raise AllowListError(f"flips[{number}].reviewed_by is empty")
    return Reviewed(**{**entry, "until": _day(number, entry["until"])})


def _day(number: int, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise AllowListError(f"flips[{number}].until is not a day like 2026-12-31")
    return day
