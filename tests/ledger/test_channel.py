"""What a ledger and its writer say to each other comes out as it went in, however the socket cuts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.ledger import LogKeys, channel
from broker.adapters.ledger.channel import MessageType, Opening, WriterMessage, WriterMessages
from broker.adapters.ledger.wal import Snapshot
from broker.adapters.ledger.writer import SequencedEntry
from broker.errors import BrokerError, Kind
from broker.model.charge import Taken, Unit
from broker.model.record import RecordType
from broker.tlog.entry import EntryPlace, Unsigned, parse_entry
from broker.tlog.malformed import MalformedError
from tests.ledger.support import intent
from tests.tlog.samples import seal, signer

messages = st.builds(WriterMessage, st.sampled_from(MessageType), st.binary(max_size=300))
placed = st.builds(
    lambda seq, kind, call_id, message: SequencedEntry(seq, kind, call_id, Unsigned(message, seq)),
    st.integers(0, 2**53 - 1),
    st.sampled_from(RecordType),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=300),
)


@given(st.lists(messages, max_size=8), st.data())
def test_a_message_survives_every_cut(sent: list[WriterMessage], data: st.DataObject) -> None:
    stream = b"".join(message.encode() for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, received = WriterMessages(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += list(reader.feed(stream[begin:end]))
    assert received == sent


@given(st.lists(placed, max_size=8))
def test_entries_come_out_as_they_went_in(batch: list[SequencedEntry]) -> None:
    assert list(channel.parse_entries(channel.entries(batch).payload)) == batch


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_leaves_come_out_as_they_went_in(leaves: list[bytes]) -> None:
    assert channel.parse_durable(channel.durable(leaves).payload) == leaves


def test_a_writer_learns_its_log_and_shows_no_key(tmp_path: Path) -> None:
    keys = LogKeys(Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())
    opening = Opening(tmp_path / "a log \udcff", tmp_path / "keys", "broker.example/log", keys, 4096)
    message = opening.message()
    parsed = Opening.parse(message)
    assert (parsed.directory, parsed.memory, parsed.origin, parsed.segment_bytes) == (
        opening.directory,
        opening.memory,
        opening.origin,
        opening.segment_bytes,
    )
    assert parsed.keys.record.private_bytes_raw() == keys.record.private_bytes_raw()
    assert parsed.keys.checkpoint.private_bytes_raw() == keys.checkpoint.private_bytes_raw()
    for shown in (repr(message), repr(opening), repr(parsed)):
        assert keys.record.private_bytes_raw().hex() not in shown


def test_a_ledger_learns_what_was_opened_or_why_not() -> None:
    dangling = parse_entry(seal(intent("c1"), EntryPlace("i", 3, 0), signer(1)))
    windows = [Taken(f"a {n}", unit, 60, 120, n) for n in range(3000) for unit in Unit]
    told = [each for message in channel.spent(windows) for each in channel.parse_spent(message.payload)]
    snapshot = Snapshot(4, "key", (), (("tok_1", 7),))
    log = channel.parse_opened(channel.opened(snapshot, [dangling], unremembered=True, recounted=True), told)
    assert (log.size, log.public_key, log.dangling, log.unremembered) == (4, "key", (dangling.record,), True)
    assert log.revoked == (("tok_1", 7),)
    assert (log.spent, log.recounted) == (tuple(windows), True)
    refusal = BrokerError(Kind.AUDIT_UNAVAILABLE, "Another process writes this log.", remedy="Stop it.")
    with pytest.raises(BrokerError, match="Another process") as refused:
        channel.parse_opened(channel.refused(refusal), ())
    assert (refused.value.kind, refused.value.remedy) == (refusal.kind, refusal.remedy)


def test_what_opens_nothing_is_refused() -> None:
    with pytest.raises(MalformedError):
        Opening.parse(channel.opened(Snapshot(), [], unremembered=False, recounted=False))
    with pytest.raises(MalformedError):
        channel.parse_opened(WriterMessage(MessageType.LOST, b"{}"), ())
    with pytest.raises(MalformedError):
        channel.parse_spent(b"{}")
