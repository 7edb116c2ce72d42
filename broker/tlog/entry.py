"""A record with its place in the log, signed: the bytes that become a leaf.

Knows the entry's fields (version 1) and their types, and one byte form for each entry: canonical JSON of at
most 16 KiB whose `sig` is Ed25519 over the same JSON without `sig`. Must not know files, trees or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import NamedTuple, get_type_hints

from broker.model.charge import MOST_LIMITS, UNITS, Taken
from broker.model.record import Record, RecordedFinding, RecordType
from broker.tlog import base64s, canonical
from broker.tlog.malformed import MalformedError
from broker.tlog.recordkey import SIGNATURE_BYTES, RecordSigner
from broker.tlog.timestamp import format_time, parse_time

VERSION = 1
MAX_ENTRY_BYTES = 16 * 1024
KID_CHARACTERS = 16
_PLACED_BYTES = len(',"sig":""') + 86 + 15
"""What placing and signing add: 64 bytes are 86 characters of base64url, a `seq` has at most 16 digits."""


class EntryPlace(NamedTuple):
    """What sequencing adds: which process, which position, and when (unix microseconds)."""

    instance: str
    seq: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed entry. Its signature is well-formed, not yet verified: see `unsigned`."""

    record: Record
    place: EntryPlace
    kid: str
    sig: bytes

    def unsigned(self) -> bytes:
        """The bytes that `sig` signs."""
        return canonical.encode(_document(self.record, self.place, self.kid))

    def encode(self) -> bytes:
        """The entry's one byte form; `parse_entry(x).encode() == x`."""
        return _cut(self.unsigned(), self.place.seq).signed(self.place.seq, self.sig)


class Draft(NamedTuple):
    """A checked record, of whose entry only the place in the log and the signature are missing: canonical
    JSON before `seq` and behind it.
    """

    head: bytes
    tail: bytes

    def at(self, seq: int) -> bytes:
        """What is to be signed where it is the entry `seq`."""
        return b'%b"seq":%d,%b' % (self.head, seq, self.tail)

    def sign(self, seq: int, signer: RecordSigner) -> bytes:
        """The entry `seq`. Takes 22 µs; never raises."""
        return self.signed(seq, signer.sign(self.at(seq)))

    def signed(self, seq: int, sig: bytes) -> bytes:
        """The entry, with `sig` where canonical JSON has it: `seq` is the next name before it."""
        return b'%b"seq":%d,"sig":"%b",%b' % (self.head, seq, base64s.to_url(sig).encode(), self.tail)


def draft(record: Record, instance: str, time_us: int, kid: str) -> Draft:
    """What the key `kid` is to sign so that `record` is an entry that `instance` wrote at this time.

    Raises MalformedError when a field has another type than Record says, holds what JSON cannot say (a lone
    surrogate, an integer beyond 2^53 - 1), or the entry could pass 16 KiB, wherever it is placed.
    """
    document = _document(record, EntryPlace(instance, 0, time_us), kid)
    message = canonical.write(document)  # _document has checked every type
    if len(message) + _PLACED_BYTES > MAX_ENTRY_BYTES:
        raise MalformedError(f"the entry would have more than {MAX_ENTRY_BYTES} bytes")
    return _cut(message, 0)


def drafted(made: Draft) -> Record:
    """The record that a draft of our own was made of."""
    document = canonical.decode(made.at(0))
    if not isinstance(document, dict):
        raise MalformedError("a draft that is not an object")
    for name in ("v", "instance", "seq", "time", "kid"):
        document.pop(name, None)
    return _record(document)


def _cut(message: bytes, seq: int) -> Draft:
    """At its `seq`. Inside a string these bytes cannot stand, because its quotes are escaped."""
    head, _, tail = message.partition(b'"seq":%d,' % seq)
    return Draft(head, tail)


def parse_entry(data: bytes) -> Entry:
    """The entry whose byte form is exactly `data`.

    Raises MalformedError for an unknown, missing, doubled, null or wrongly typed field, another version,
    bytes that are not canonical, or more than 16 KiB.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise MalformedError(f"an entry of more than {MAX_ENTRY_BYTES} bytes")
    document = canonical.decode(data)
    if not isinstance(document, dict):
        raise MalformedError("an entry that is not an object")
    if (version := document.pop("v", None)) != VERSION or type(version) is not int:
        raise MalformedError(f"an entry of another version than {VERSION}")
    sig, kid = _signature(document)
    at = EntryPlace(
        _text(document.pop("instance", None)), _number(document.pop("seq", None)), _time(document)
    )
    if at.seq < 0:
        raise MalformedError("a negative seq")
    return Entry(_record(document), at, kid, sig)


def glance(data: bytes, names: Collection[str]) -> Record:
    """Only the type, the call id and these fields of an entry that was believed before: the log's own, from
    its own files. A tenth of parsing it. Raises MalformedError where one is not what it must be.
    """
    document = canonical.look(data)
    if not isinstance(document, dict):
        raise MalformedError("an entry that is not an object")
    return _record({name: document[name] for name in ("type", "call_id", *names) if name in document})


def _document(record: Record, at: EntryPlace, kid: str) -> dict[str, object]:
    document: dict[str, object] = {
        "v": VERSION,
        "instance": at.instance,
        "seq": at.seq,
        "time": format_time(at.time_us),
        "kid": kid,
    }
    for (name, expected), value in zip(_WRITTEN, record, strict=True):
        if value is not None:
            document[name] = value if type(value) is expected else _plain(value, expected)
    return document


def _plain(value: object, expected: type) -> object:
    if expected is str and isinstance(value, StrEnum):
        return value.value
    if expected is list and isinstance(value, tuple):
        return [_plain_item(item) for item in value]
    raise MalformedError(f"a record field of type {type(value).__name__} where {expected.__name__} belongs")


def _plain_item(item: object) -> object:
    if isinstance(item, RecordedFinding):
        return _finding_document(item)
    return _taken_document(item) if isinstance(item, Taken) else _word(item)


def _taken_document(taken: Taken) -> dict[str, object]:
    limit, unit, seconds, start, amount = taken
    if not (type(seconds) is type(start) is type(amount) is int):
        raise MalformedError("an amount that is not an integer")
    return {"limit": _text(limit), "unit": unit.value, "seconds": seconds, "start": start, "amount": amount}


def _finding_document(finding: RecordedFinding) -> dict[str, str]:
    return {name: _word(getattr(finding, name)) for name in _FINDING_FIELDS}


def _word(value: object) -> str:
    return value.value if isinstance(value, StrEnum) else _text(value)


def _signature(document: dict[str, object]) -> tuple[bytes, str]:
    sig = base64s.from_url(_text(document.pop("sig", None)))
    if len(sig) != SIGNATURE_BYTES:
        raise MalformedError("a signature that does not have 64 bytes")
    kid = _text(document.pop("kid", None))
    if len(kid) != KID_CHARACTERS or not set(kid) <= set("0123456789abcdef"):
        raise MalformedError("a kid that is not 16 hex digits")
    return sig, kid


def _time(document: dict[str, object]) -> int:
    return parse_time(_text(document.pop("time", None)))


def _record(document: dict[str, object]) -> Record:
    values: dict[str, object] = {}
    for name, value in document.items():
        reader = _READERS.get(name)
        if reader is None:
            raise MalformedError("an unknown field")
        values[name] = reader(value)
    if "type" not in values or "call_id" not in values:
        raise MalformedError("a record without type or call_id")
    return Record(**values)  # type: ignore[arg-type]  # each reader returns its field's type


def _text(value: object) -> str:
    if type(value) is not str:
        raise MalformedError("a field that should be a string")
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise MalformedError("a field that should be an integer")
    return value


def _truth(value: object) -> bool:
    if type(value) is not bool:
        raise MalformedError("a field that should be true or false")
    return value


def _record_type(value: object) -> RecordType:
    try:
        return RecordType(_text(value))
    except ValueError as error:
        raise MalformedError("an unknown record type") from error


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise MalformedError("a field that should be a list")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _items(value))


def _findings(value: object) -> tuple[RecordedFinding, ...]:
    return tuple(_finding(item) for item in _items(value))


def _finding(value: object) -> RecordedFinding:
    if not isinstance(value, dict) or value.keys() != set(_FINDING_FIELDS):
        raise MalformedError("a finding with other fields than rule, location and action")
    return RecordedFinding(**{name: _text(item) for name, item in value.items()})


def _charges(value: object) -> tuple[Taken, ...]:
    items = _items(value)
    if len(items) > MOST_LIMITS:
        raise MalformedError(f"more than {MOST_LIMITS} charges")
    return tuple(_taken(item) for item in items)


def _taken(value: object) -> Taken:
    if not isinstance(value, dict) or value.keys() != _TAKEN_FIELDS:
        raise MalformedError("a charge with other fields than limit, unit, seconds, start and amount")
    unit = UNITS.get(_text(value["unit"]))
    if unit is None:
        raise MalformedError("a charge of an unknown unit")
    seconds, start, amount = _number(value["seconds"]), _number(value["start"]), _number(value["amount"])
    return Taken(_text(value["limit"]), unit, seconds, start, amount)


# One row for each type that Record uses: the JSON type it is written as, and the strict reader. A field with
# a new type fails here, at import.
_TYPES: dict[object, tuple[type, Callable[[object], object]]] = {
    RecordType: (str, _record_type),
    str: (str, _text),
    str | None: (str, _text),
    int | None: (int, _number),
    bool | None: (bool, _truth),
    tuple[str, ...] | None: (list, _texts),
    tuple[RecordedFinding, ...] | None: (list, _findings),
    tuple[Taken, ...] | None: (list, _charges),
}
_KINDS = {name: _TYPES[kind] for name, kind in get_type_hints(Record).items()}
_READERS = {name: reader for name, (_, reader) in _KINDS.items()}
_WRITTEN = tuple((name, expected) for name, (expected, _) in _KINDS.items())
_FINDING_FIELDS = tuple(each.name for each in fields(RecordedFinding))
_TAKEN_FIELDS = set(Taken._fields)
