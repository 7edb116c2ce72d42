"""What a ledger asks its writer to record, and what it is answered.

Knows the form of SUBMIT and ANSWER. Must not know who carries them or what is done about them. Tuples,
because each call makes two of each, in either process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from broker.adapters.ledger.messages import MessageType, WriterMessage
from broker.budget.limits import CapPassed, LimitTaken
from broker.model.charge import UNITS, Charge, Taken
from broker.model.record import RecordType
from broker.tlog import canonical
from broker.tlog.entry import Draft
from broker.tlog.merkle import HASH_BYTES

_SUBMITTED = struct.Struct(">QBHIIIIQ")
_SIZE = struct.Struct(">Q")
_TERM = struct.Struct(">Q")
_ANSWERED = struct.Struct(">QBQ")
_TAKEN = struct.Struct(">q?")
_FULL = struct.Struct(">qq")
_KINDS = tuple(RecordType)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_PASSED = 255
"""In place of how many limits an answer tells of: one of them would have been passed."""
_ENDED = 254
"""The same: its term has ended."""


class DraftedEntry(NamedTuple):
    """An entry that has no place in the log yet."""

    kind: RecordType
    call_id: str
    draft: Draft

    @property
    def token_id(self) -> str | None:
        """The record's token, if it names one."""
        document = canonical.decode(self.draft.at(0))
        token_id = document.get("token_id") if isinstance(document, dict) else None
        return token_id if isinstance(token_id, str) else None

    def __repr__(self) -> str:
        return f"DraftedEntry({self.kind}, …)"


class Submission(NamedTuple):
    """What is to be recorded if all `charges` can be taken, and by how much it changes what is taken.
    `term` is the machine's, in which a shared state let them be taken: of another one nothing is recorded.
    """

    number: int
    entry: DraftedEntry
    charges: Sequence[Charge] = ()
    changes: Sequence[Taken] = ()
    term: int = 0


class SequencedEntry(NamedTuple):
    """The entry is durable, as the `seq`-th, in this term; so much is now taken of each limit that it was
    charged.
    """

    seq: int
    leaf: bytes
    taken: tuple[LimitTaken, ...]
    term: int = 0


class TermEnded(NamedTuple):
    """It was charged in a term that is not the machine's any more."""

    term: int


SubmissionResult = SequencedEntry | CapPassed | TermEnded
"""What becomes of a submission: of one that would have passed a cap, or whose term has ended, nothing."""


def submitted(batch: Iterable[Submission]) -> WriterMessage:
    """SUBMIT, in their order."""
    parts: list[bytes] = []
    for number, (kind, call_id, (head, tail)), charges, changes, term in batch:
        name = call_id.encode()
        asked = orjson.dumps([_asked(each) for each in charges]) if charges else b""
        changed = orjson.dumps([list(each) for each in changes]) if changes else b""
        sizes = len(name), len(head), len(tail), len(asked), len(changed)
        parts += (_SUBMITTED.pack(number, _NUMBERS[kind], *sizes, term), name, head, tail, asked, changed)
    return WriterMessage(MessageType.SUBMIT, b"".join(parts))


def parse_submitted(payload: bytes) -> Iterator[Submission]:
    """The submissions of a SUBMIT message."""
    at = 0
    while at < len(payload):
        number, kind, *sizes, term = _SUBMITTED.unpack_from(payload, at)
        at += _SUBMITTED.size
        parts: list[bytes] = []
        for size in sizes:
            parts.append(payload[at : at + size])
            at += size
        name, head, tail, asked, changed = parts
        entry = DraftedEntry(_KINDS[kind], name.decode(), Draft(head, tail))
        yield Submission(number, entry, _charges(asked), _changes(changed), term)


def answered(size: int, term: int, answers: Iterable[tuple[int, SubmissionResult]]) -> WriterMessage:
    """ANSWER: by the number of each; the log has `size` durable entries, and its machine is in this term."""
    parts = [_SIZE.pack(size), _TERM.pack(term)]
    for number, answer in answers:
        if isinstance(answer, SequencedEntry):
            parts += (_ANSWERED.pack(number, len(answer.taken), answer.seq), answer.leaf)
            parts += [_TAKEN.pack(*each) for each in answer.taken]
        elif isinstance(answer, TermEnded):
            parts.append(_ANSWERED.pack(number, _ENDED, answer.term))
        else:
            place, *full = answer
            parts += (_ANSWERED.pack(number, _PASSED, place), _FULL.pack(*full))
    return WriterMessage(MessageType.ANSWER, b"".join(parts))


def size_told(size: int) -> WriterMessage:
    """PONG: the log has `size` durable entries."""
    return WriterMessage(MessageType.PONG, _SIZE.pack(size))


def parse_size(payload: bytes) -> int:
    """How many durable entries the log has, as an ANSWER or PONG message tells."""
    return int(_SIZE.unpack_from(payload)[0])


def parse_answered(payload: bytes) -> Iterator[tuple[int, SubmissionResult]]:
    """The answers of an ANSWER message."""
    at = _SIZE.size
    (term,) = _TERM.unpack_from(payload, at)
    at += _TERM.size
    while at < len(payload):
        number, limits, place = _ANSWERED.unpack_from(payload, at)
        at += _ANSWERED.size
        if limits == _PASSED:
            yield number, CapPassed(place, *_FULL.unpack_from(payload, at))
            at += _FULL.size
            continue
        if limits == _ENDED:
            yield number, TermEnded(place)
            continue
        leaf, at = payload[at : at + HASH_BYTES], at + HASH_BYTES
        end = at + limits * _TAKEN.size
        taken = tuple([LimitTaken(*each) for each in _TAKEN.iter_unpack(payload[at:end])])
        yield number, SequencedEntry(place, leaf, taken, term)
        at = end


def term_begins(term: int) -> WriterMessage:
    """BEGIN_TERM: what was charged in an earlier one is refused from now on."""
    return WriterMessage(MessageType.BEGIN_TERM, _TERM.pack(term))


def parse_term(payload: bytes) -> int:
    """The term of a BEGIN_TERM message."""
    return int(_TERM.unpack(payload)[0])


def held(taken: Iterable[Taken]) -> WriterMessage:
    """HELD: what the log's calls had taken as the term began."""
    return WriterMessage(MessageType.HELD, orjson.dumps([list(each) for each in taken]))


def parse_held(payload: bytes) -> tuple[Taken, ...]:
    """What a HELD message tells."""
    return _changes(payload)


def _asked(charge: Charge) -> list[object]:
    """What a writer needs of it: not what callers call the limit, nor what they may do instead."""
    taken, cap, _, slices, observed, warn_at, _ = charge
    return [*taken, cap, slices, observed, warn_at]


def _charges(asked: bytes) -> tuple[Charge, ...]:
    if not asked:
        return ()
    return tuple(
        [
            Charge(Taken(name, UNITS[unit], seconds, start, amount), cap, None, slices, observed, warn_at)
            for name, unit, seconds, start, amount, cap, slices, observed, warn_at in orjson.loads(asked)
        ]
    )


def _changes(changed: bytes) -> tuple[Taken, ...]:
    if not changed:
        return ()
    return tuple([Taken(name, UNITS[unit], *numbers) for name, unit, *numbers in orjson.loads(changed)])
