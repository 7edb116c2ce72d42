"""What a ledger and its writer say to each other comes out as it went in, however the socket cuts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.messages import MessageType, WriterMessage, WriterMessages
from broker.adapters.ledger.opening import OpenedLog, Opening, refused
from broker.adapters.ledger.submission import (
    DraftedEntry,
    SequencedEntry,
    Submission,
    SubmissionResult,
    TermEnded,
    answered,
    parse_answered,
    parse_size,
    parse_submitted,
    size_told,
    submitted,
)
from broker.budget.limits import CapPassed, LimitTaken
from broker.errors import BrokerError, Kind
from broker.model.charge import MOST_LIMITS, Charge
from broker.model.record import RecordType
from broker.tlog.entry import Draft
from broker.tlog.malformed import MalformedError
from tests.tlog.samples import numbers, taken

messages = st.builds(WriterMessage, st.sampled_from(MessageType), st.binary(max_size=300))
drafted = st.builds(
    DraftedEntry,
    st.sampled_from(RecordType),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.builds(Draft, st.binary(max_size=300), st.binary(max_size=300)),
)
submissions = st.builds(
    Submission,
    numbers,
    drafted,
    st.lists(
        st.builds(
            Charge, taken, numbers, st.none(), st.integers(1, 62), st.booleans(), numbers, st.just(False)
        ),
        max_size=3,
    ).map(tuple),
    st.lists(taken, max_size=3).map(tuple),
    numbers,
)
told = st.builds(LimitTaken, numbers, st.booleans())
leaves = st.binary(min_size=32, max_size=32)
TERM = 1_800_000_000_000_000
placed = st.builds(
    SequencedEntry,
    numbers,
    leaves,
    (st.lists(told, max_size=3) | st.just([LimitTaken(7)] * MOST_LIMITS)).map(tuple),
    st.just(TERM),
)
answers = (
    placed
    | st.builds(CapPassed, st.integers(0, MOST_LIMITS - 1), numbers, numbers)
    | st.builds(TermEnded, numbers)
)


@given(st.lists(messages, max_size=8), st.data())
def test_a_message_survives_every_cut(sent: list[WriterMessage], data: st.DataObject) -> None:
    stream = b"".join(message.encode() for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, received = WriterMessages(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += list(reader.feed(stream[begin:end]))
    assert received == sent


@given(st.lists(submissions, max_size=8))
def test_submissions_come_out_as_they_went_in(batch: list[Submission]) -> None:
    assert list(parse_submitted(submitted(batch).payload)) == batch


@given(numbers, st.lists(st.tuples(numbers, answers), max_size=8))
def test_answers_come_out_as_they_went_in(size: int, told: list[tuple[int, SubmissionResult]]) -> None:
    payload = answered(size, TERM, told).payload
    assert (parse_size(payload), list(parse_answered(payload))) == (size, told)
    assert parse_size(size_told(size).payload) == size


def test_a_writer_learns_its_log_and_shows_no_key(tmp_path: Path) -> None:
    keys = LogKeys(Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())
    opening = Opening(
        tmp_path / "a log \udcff", tmp_path / "keys", "broker.example/log", keys, "i1", ("a", "b"), 4096
    )
    message = opening.message()
    parsed = Opening.parse(message)
    for name in ("directory", "memory", "origin", "segment_bytes", "instance", "certifications"):
        assert getattr(parsed, name) == getattr(opening, name)
    assert parsed.keys.record.private_bytes_raw() == keys.record.private_bytes_raw()
    assert parsed.keys.checkpoint.private_bytes_raw() == keys.checkpoint.private_bytes_raw()
    for shown in (repr(message), repr(opening), repr(parsed)):
        assert keys.record.private_bytes_raw().hex() not in shown


def test_a_ledger_learns_what_was_opened_or_why_not() -> None:
    log = OpenedLog("log+1+k", "k", "i1", 4, (("tok_1", 7),), unremembered=True, windows=3000, recounted=True)
    assert OpenedLog.parse(log.message()) == log
    refusal = BrokerError(Kind.AUDIT_UNAVAILABLE, "Another process writes this log.", remedy="Stop it.")
    with pytest.raises(BrokerError, match="Another process") as caught:
        OpenedLog.parse(refused(refusal))
    assert (caught.value.kind, caught.value.remedy) == (refusal.kind, refusal.remedy)


def test_what_opens_nothing_is_refused() -> None:
    with pytest.raises(MalformedError):
        Opening.parse(OpenedLog("", "", "", 0, (), unremembered=False, windows=0, recounted=False).message())
    with pytest.raises(MalformedError):
        OpenedLog.parse(WriterMessage(MessageType.LOST, b"{}"))
