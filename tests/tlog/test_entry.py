"""Entries: one byte form, strictly read, signed over all but the signature."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given

from broker.errors import Kind
from broker.model.charge import MOST_LIMITS, Taken, Unit, most_charges
from broker.model.record import Record, RecordedFinding, RecordType
from broker.tlog import canonical
from broker.tlog.entry import MAX_ENTRY_BYTES, EntryPlace, glance, parse_entry
from broker.tlog.malformed import MalformedError
from broker.tlog.recordkey import RecordVerifier
from tests.tlog.samples import places, records, seal, signer

BROKER = Path(__file__).parents[2] / "broker"
PLACE = EntryPlace("i", 7, 1_794_000_000_123_456)
OUTCOME = Record(RecordType.OUTCOME, call_id="c", status=200, findings=(RecordedFinding("r", "l", "a"),))


CHARGE = {"limit": "a", "unit": "requests", "seconds": 60, "start": 120, "amount": 1}


def _changed(**changes: object) -> bytes:
    document = json.loads(seal(OUTCOME, PLACE, signer(1))) | changes
    return canonical.encode({name: value for name, value in document.items() if value is not ...})


@given(records, places)
def test_parse_then_format_gives_the_same_bytes(record: Record, place: EntryPlace) -> None:
    data = seal(record, place, signer(1))
    entry = parse_entry(data)
    assert (entry.record, entry.place, entry.encode()) == (record, place, data)
    assert RecordVerifier.parse(signer(1).public_key).verifies(entry.sig, entry.unsigned())


def test_the_entry_has_the_documented_names_and_leaves_none_out_fields_away() -> None:
    document = json.loads(seal(OUTCOME, PLACE, signer(1)))
    assert document.keys() == {
        *("v", "type", "call_id", "instance", "seq", "time", "status", "findings", "kid", "sig"),
    }
    assert (document["v"], document["time"]) == (1, "2026-11-06T21:20:00.123456Z")


def test_every_record_field_can_be_written_and_read_back() -> None:
    samples = {
        str: "x",
        str | None: "x",
        int | None: 1,
        bool | None: True,
        tuple[str, ...] | None: ("x",),
        tuple[RecordedFinding, ...] | None: (RecordedFinding("r", "l", "a"),),
        tuple[Taken, ...] | None: (Taken("a requests/minute", Unit.REQUESTS, 60, 120, 1),),
    }
    values = {name: samples[kind] for name, kind in get_type_hints(Record).items() if name != "type"}
    record = Record(RecordType.DENIED, **values)  # type: ignore[arg-type]
    assert all(getattr(record, name) is not None for name in Record._fields)
    assert parse_entry(seal(record, PLACE, signer(1))).record == record


def test_every_record_field_is_written_somewhere() -> None:
    written = {
        keyword.arg
        for path in BROKER.rglob("*.py")
        if path.parent.name != "gen"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    }
    assert set(Record._fields) - written == set()


def test_an_enumeration_is_written_as_its_text() -> None:
    record = Record(RecordType.DENIED, call_id="c", reason=Kind.POLICY_DENIED)
    assert parse_entry(seal(record, PLACE, signer(1))).record.reason == "POLICY_DENIED"


def test_an_edited_field_breaks_the_signature() -> None:
    entry = parse_entry(_changed(status=500))
    assert not RecordVerifier.parse(signer(1).public_key).verifies(entry.sig, entry.unsigned())


def test_an_entry_signed_by_another_key_does_not_verify() -> None:
    entry = parse_entry(seal(OUTCOME, PLACE, signer(2)))
    assert not RecordVerifier.parse(signer(1).public_key).verifies(entry.sig, entry.unsigned())


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"status": "200"},
        {"status": True},
        {"status": None},
        {"stream": 1},
        {"user": 5},
        {"actor_chain": "x"},
        {"actor_chain": [1]},
        {"findings": [{"rule": "r", "location": "l"}]},
        {"findings": [{"rule": "r", "location": "l", "action": "a", "text": "leak"}]},
        {"reserved": [CHARGE | {"unit": "euro"}]},
        {"reserved": [CHARGE | {"unit": ["requests"]}]},
        {"reserved": [CHARGE | {"amount": "1"}]},
        {"reserved": [CHARGE | {"start": True}]},
        {"reserved": [CHARGE | {"limit": None}]},
        {"reserved": [CHARGE | {"cap": 1}]},
        {"reserved": [{"limit": "a", "unit": "requests", "seconds": 60, "start": 0}]},
        {"reserved": [["a", "requests", 60, 0, 1]]},
        {"reserved": CHARGE},
        {"adjusted": [CHARGE] * (MOST_LIMITS + 1)},
        {"requests_charged": "1"},
        {"findings": {"rule": "r", "location": "l", "action": "a"}},
        {"type": "other"},
        {"type": ...},
        {"call_id": ...},
        {"v": 2},
        {"v": True},
        {"v": ...},
        {"seq": -1},
        {"seq": "7"},
        {"seq": ...},
        {"time": "2026-11-06T21:20:00Z"},
        {"time": "2026-11-06T21:20:00.123456+00:00"},
        {"time": "2026-11-06T21:20:00.123456"},
        {"time": "yesterday"},
        {"kid": "ABCDEF0123456789"},
        {"kid": "12"},
        {"sig": "AAAA"},
        {"sig": "A" * 87},
        {"sig": ...},
        {"instance": None},
    ],
    ids=str,
)
def test_a_malformed_entry_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        parse_entry(_changed(**changes))


def test_bytes_around_an_entry_are_refused() -> None:
    data = seal(OUTCOME, PLACE, signer(1))
    for other in (data + b"\n", b" " + data, data[:-1], data.replace(b'"v":1', b'"v":1,"v":1'), b"[]", b"1"):
        with pytest.raises(MalformedError):
            parse_entry(other)


def test_an_entry_of_more_than_16_kib_is_refused_both_ways() -> None:
    """Where it is placed last of all, so that no place is too far for a record that was taken."""
    last = PLACE._replace(seq=2**53 - 1)
    room = MAX_ENTRY_BYTES - len(seal(Record(RecordType.INTENT, call_id="c", user=""), last, signer(1)))
    fits = seal(Record(RecordType.INTENT, call_id="c", user="x" * room), last, signer(1))
    assert len(fits) == MAX_ENTRY_BYTES
    assert parse_entry(fits).encode() == fits
    for place in (PLACE, last):
        with pytest.raises(MalformedError):
            seal(Record(RecordType.INTENT, call_id="c", user="x" * (room + 1)), place, signer(1))
    with pytest.raises(MalformedError):
        parse_entry(fits + b" ")


@pytest.mark.parametrize(
    "record",
    [
        Record(RecordType.INTENT, call_id="c", user="\ud800"),
        Record(RecordType.INTENT, call_id="c", status=2**53),
        Record(RecordType.INTENT, call_id="c", status=True),
        Record(RecordType.INTENT, call_id=3),  # type: ignore[arg-type]
        Record(RecordType.INTENT, call_id="c", user=b"x"),  # type: ignore[arg-type]
        Record(RecordType.INTENT, call_id="c", actor_chain=(None,)),  # type: ignore[arg-type]
        Record(RecordType.INTENT, call_id="c", reserved=(Taken("a", Unit.TOKENS, 60, 0, 1.5),)),  # type: ignore[arg-type]
        Record(RecordType.INTENT, call_id="c", reserved=(Taken("a", Unit.TOKENS, 60, 0, 2**53),)),
        Record(RecordType.INTENT, call_id="c", reserved=(Taken("\ud800", Unit.TOKENS, 60, 0, 1),)),
    ],
    ids=repr,
)
def test_a_record_that_no_entry_can_hold_is_refused(record: Record) -> None:
    with pytest.raises(MalformedError):
        seal(record, PLACE, signer(1))


def test_as_many_charges_as_a_call_may_have_limits_fit_an_entry() -> None:
    reserved = tuple(Taken(f"limit {n}", Unit.REQUESTS, 60, 1_795_472_000, 1) for n in range(MOST_LIMITS))
    record = Record(RecordType.INTENT, call_id="c", reserved=reserved)
    assert parse_entry(seal(record, PLACE, signer(1))).record == record


@pytest.mark.parametrize("length", [1, 43, 100, 257])
def test_as_many_windows_as_are_given_back_at_once_fit_an_entry(length: int) -> None:
    name, large = "n" * length, 2**53 - 1
    given = tuple(Taken(name, Unit.CONCURRENT_STREAMS, large, 253_402_300_799, -large - n) for n in (0,))
    record = Record(
        RecordType.LIMIT,
        call_id="call_" + "c" * 32,
        reason="reset",
        adjusted=given * most_charges(name),
        policy_input="i" * 2048,
    )
    assert parse_entry(seal(record, PLACE, signer(1))).record == record


def test_a_glance_sees_what_it_asks_for_and_nothing_else() -> None:
    data = seal(OUTCOME._replace(tokens_charged=7, user="u"), PLACE, signer(1))
    assert glance(data, ("tokens_charged", "adjusted")) == Record(
        RecordType.OUTCOME, call_id="c", tokens_charged=7
    )
    for other in (b"[]", b"{", _changed(tokens_charged="7")):
        with pytest.raises(MalformedError):
            glance(other, ("tokens_charged",))


def test_the_signature_has_its_place_behind_the_seq() -> None:
    """`Draft.signed` puts it there: a field with a name between the two would need another place."""
    names = {*Record._fields, "v", "instance", "time", "kid"}
    assert not [name for name in names if "seq" < name < "sig"]


def test_a_seq_inside_a_text_does_not_attract_the_signature() -> None:
    record = Record(RecordType.DENIED, call_id='"seq":7,', user=',"seq":7,', error='\\"seq":7,')
    data = seal(record, EntryPlace('"seq":7,', 7, 0), signer(1))
    assert parse_entry(data).encode() == data == canonical.encode(json.loads(data))
