"""The scripts that the store runs, what they are asked, and what they answer. They lie beside this module.

Knows their form. Must not know connections, or what is done about an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple, cast

from broker.adapters.state.keyspace import Keyspace, expiry
from broker.budget.limits import CapPassed, LimitTaken, earlier_slices
from broker.model.charge import Charge, Taken, Window

Command = tuple[str | int, ...]
Answer = bytes | int | list["Answer"] | None
"""What the store says to a command."""


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and the name under which the store runs it."""

    text: str
    sha: str

    @classmethod
    def read(cls, name: str) -> Script:
        text = resources.files("broker.adapters.state").joinpath(f"{name}.lua").read_text()
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    @property
    def load(self) -> Command:
        """Has the store know it."""
        return ("SCRIPT", "LOAD", self.text)

    def run(self, keys: Sequence[str], *arguments: str | int) -> Command:
        """Runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


RESERVE, SETTLE, TAKEN = (Script.read(name) for name in ("reserve", "settle", "taken"))
BEAT, BEGIN, ADOPT, OPEN = (Script.read(name) for name in ("beat", "begin", "adopt", "open"))


class Took(NamedTuple):
    """All charges are taken, in this term; so much is now taken of each limit."""

    term: int
    taken: tuple[LimitTaken, ...]


class NotOpen(NamedTuple):
    """Not all machines have said what they hold."""


class OtherTerm(NamedTuple):
    """The machine is in this term; 0 where it is in none."""

    term: int


ReserveAnswer = Took | CapPassed | NotOpen | OtherTerm


class AskedCharges(NamedTuple):
    """What `reserve` is asked for one call, but for the incarnation, machine and term."""

    keys: tuple[str, ...]
    arguments: tuple[int, ...]

    @classmethod
    def of(cls, charges: Sequence[Charge], names: Keyspace) -> AskedCharges:
        keys: list[str] = []
        arguments: list[int] = []
        for charge in charges:
            _, _, seconds, start, amount = charge.taken
            part, window = seconds // charge.slices, charge.taken[:4]
            besides = charge.slices - 1
            keys += (names.window(window), *map(names.window, earlier_slices(charge)))
            arguments += (amount, charge.cap, expiry(window), besides, start + seconds - besides * part, part)
            arguments += (int(charge.observed), charge.warn_at)
        return cls(tuple(keys), tuple(arguments))


def reserve(asked: AskedCharges, names: Keyspace, incarnation: str, machine: str, term: int) -> Command:
    """Takes all, or none."""
    keys = (names.epoch, names.ready, names.terms, *asked.keys)
    return RESERVE.run(keys, incarnation, machine, term, *asked.arguments)


def reserve_answer(answer: Answer, term: int) -> ReserveAnswer:
    """What it answered to whoever asked in this term."""
    match answer:
        case bytes() as told:
            numbers = [int(word) for word in told.split()]
            return Took(term, tuple(map(LimitTaken, numbers[::2], map(bool, numbers[1::2]))))
        case [1, int() as place, int() as taken, int() as free_at]:
            return CapPassed(place, taken, free_at)
        case [3, bytes() as current]:
            return OtherTerm(int(current or 0))
    return NotOpen()


def settle(changes: Iterable[Taken], names: Keyspace, machine: str, term: int) -> Command:
    """Changes what is taken, as the machine's log has recorded it in this term."""
    changed = tuple(changes)
    keys = (names.terms, *(names.window(each[:4]) for each in changed))
    told = [word for each in changed for word in (each.amount, int(not each.seconds))]
    return SETTLE.run(keys, machine, term, *told)


def taken_of(windows: Iterable[Window], names: Keyspace) -> Command:
    """Asks for what all machines have taken of each."""
    return TAKEN.run((names.terms, *map(names.window, windows)))


@dataclass(frozen=True, slots=True)
class StoreState:
    """How all machines stand: their names → incarnation, term, beat. `beat` is the one that was left just
    now, 0 where another broker lives under this machine's name.
    """

    epoch: str
    ready: Mapping[str, str]
    terms: Mapping[str, int]
    beats: Mapping[str, int]
    unsure: bool
    beat: int


def state_answer(answer: Answer) -> StoreState:
    """What `beat` answered."""
    epoch, ready, terms, beats, unsure, beat = cast("list[Answer]", answer)
    return StoreState(
        _text(epoch),
        _pairs(ready),
        {machine: int(term) for machine, term in _pairs(terms).items()},
        {machine: int(each) for machine, each in _pairs(beats).items()},
        bool(unsure),
        int(_text(beat) or 0),
    )


def _pairs(answer: Answer) -> dict[str, str]:
    flat = [_text(each) for each in cast("list[Answer]", answer)]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _text(answer: Answer) -> str:
    return cast("bytes", answer).decode()
