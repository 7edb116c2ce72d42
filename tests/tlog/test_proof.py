"""A proof of one entry: it verifies what it proves with the log's key alone, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.tlog.checkpoint import Checkpoint
from broker.tlog.malformed import MalformedError
from broker.tlog.proof import HEADER, LogProof, parse_proof, prove
from broker.tlog.tile import node_reader
from tests.sizes import sized
from tests.tlog.samples import MemoryLog, calls, note_signer

LOG = MemoryLog.of(calls(300))
SIZE = len(LOG.entries)
KEY = note_signer().key


def proof_of(seq: int) -> LogProof:
    node = node_reader(SIZE, lambda tile: LOG.files[tile.path])
    return prove(seq, LOG.entries[seq], LOG.files["checkpoint"], SIZE, node)


@settings(max_examples=sized(60))
@given(st.integers(0, SIZE - 1))
def test_every_entry_is_proven_and_its_text_reads_back(seq: int) -> None:
    proof = proof_of(seq)
    assert parse_proof(proof.encode()) == proof
    assert proof.verified(KEY) == Checkpoint("log.example/test", SIZE, LOG.frontier().root())


def test_its_text_is_a_c2sp_tlog_proof() -> None:
    lines = proof_of(300).encode().decode().split("\n")
    assert lines[0] == HEADER == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra ")
    assert lines[2] == "index 300"
    assert lines[lines.index("") + 1 :] == LOG.files["checkpoint"].decode().split("\n")
    assert all(len(line) == 44 for line in lines[3 : lines.index("")])


@pytest.mark.parametrize("seq", [-1, SIZE])
def test_what_is_outside_the_tree_is_not_proven(seq: int) -> None:
    with pytest.raises(MalformedError):
        prove(seq, LOG.entries[0], LOG.files["checkpoint"], SIZE, node_reader(SIZE, lambda _: b""))


@settings(max_examples=sized(200))
@given(st.data())
def test_no_changed_byte_proves_anything_else(data: st.DataObject) -> None:
    honest = proof_of(data.draw(st.integers(0, SIZE - 1)))
    text = bytearray(honest.encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MalformedError):
        parse_proof(bytes(text)).verified(KEY)


@pytest.mark.parametrize("other", [note_signer(101).key, note_signer(name="log.example/other").key])
def test_another_logs_key_proves_nothing(other: object) -> None:
    with pytest.raises(MalformedError):
        proof_of(5).verified(other)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"c2sp.org/tlog-proof@v1\n", b"\xff" * 50, b"x" * (2 << 20)])
def test_what_is_no_proof_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_proof(data)
