"""The write-ahead format: what a crash may leave is dropped, everything else is refused."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.ledger.wal import Snapshot, encode_batch, parse_segment
from broker.tlog.malformed import MalformedError

batches = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=5)
SNAPSHOT = Snapshot(7, "key", (("c1", 3), ("c2", 6)))


def _segment(groups: list[list[bytes]], snapshot: Snapshot = SNAPSHOT) -> tuple[bytes, list[int]]:
    """The segment's bytes, and the offsets at which its frames end."""
    data, seq = snapshot.encode(), snapshot.base
    ends = [len(data)]
    for group in groups:
        data += encode_batch(seq, group)
        seq += len(group)
        ends.append(len(data))
    return data, ends


@given(batches)
def test_what_was_written_is_read(groups: list[list[bytes]]) -> None:
    segment = parse_segment(_segment(groups)[0])
    assert (segment.snapshot, segment.torn) == (SNAPSHOT, False)
    assert list(segment.entries) == [entry for group in groups for entry in group]
    assert segment.end == SNAPSHOT.base + len(segment.entries)


@given(batches.filter(bool), st.data())
def test_a_torn_tail_loses_whole_batches_that_were_never_acknowledged(
    groups: list[list[bytes]], data: st.DataObject
) -> None:
    whole, ends = _segment(groups)
    cut = data.draw(st.integers(ends[0], len(whole) - 1))
    garbage = data.draw(st.binary(max_size=60) | st.just(bytes(64)))
    complete = sum(end <= cut for end in ends[1:])
    segment = parse_segment(whole[:cut] + garbage)
    kept = [entry for group in groups[:complete] for entry in group]
    assert list(segment.entries)[: len(kept)] == kept
    sizes = [0, *accumulate(map(len, groups))]
    read = ends[sizes.index(len(segment.entries))]  # zeros may happen to be the end of a batch
    assert segment.torn is any((whole[:cut] + garbage)[read:])


@given(batches, st.integers(0, 100))
def test_zeros_behind_the_last_batch_are_no_damage(groups: list[list[bytes]], zeros: int) -> None:
    whole, _ = _segment(groups)
    assert parse_segment(whole + bytes(zeros)) == parse_segment(whole)


@given(batches.filter(lambda groups: len(groups) > 1), st.data())
def test_damage_before_the_last_batch_is_refused(groups: list[list[bytes]], data: st.DataObject) -> None:
    whole, ends = _segment(groups)
    place = data.draw(st.integers(0, ends[-2] - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MalformedError):
        parse_segment(bytes(damaged))


def test_removed_or_repeated_batch_is_refused() -> None:
    first, second, third = encode_batch(7, [b"a"]), encode_batch(8, [b"b"]), encode_batch(9, [b"c"])
    for frames in (first + third, first + first, second + third, first + second + SNAPSHOT.encode()):
        with pytest.raises(MalformedError):
            parse_segment(SNAPSHOT.encode() + frames)


@pytest.mark.parametrize("data", [b"", bytes(100), encode_batch(7, [b"a"]), SNAPSHOT.encode()[:-1]])
def test_segment_without_its_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_segment(data)
