"""Attacks on a whole log. Each log is honest until the attack; the attacker has the disk, not the keys."""

from __future__ import annotations

import pytest

from broker.model.record import Record, RecordType
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.entry import EntryPlace
from broker.tlog.report import Fault, Verdict
from broker.tlog.tile import encode_bundle, parse_bundle
from tests.tlog.samples import MemoryLog, calls, faults, note_signer, seal, signer, verified

FULL = "tile/entries/000"


def _log(count: int = 200) -> MemoryLog:
    return MemoryLog.of(calls(count))


def _head(log: MemoryLog) -> Checkpoint:
    return open_checkpoint(log.files["checkpoint"], note_signer().key)


def _rewrite(log: MemoryLog, entries: list[bytes]) -> None:
    """The attacker's own bundle in place of the first."""
    log.files[FULL] = encode_bundle(entries)


def _hold(log: MemoryLog, record: Record, at: int | None = None) -> None:
    log.add(record)
    log.held.append((len(log.entries) - 1 if at is None else at, log.entries[-1]))


@pytest.mark.parametrize("count", [0, 1, 127, 128, 200, 600])
def test_an_honest_log_is_good(count: int) -> None:
    report = verified(_log(count))
    assert (report.verdict, report.size, report.problems) == (Verdict.GOOD, 2 * count + 2, ())


def test_edited_entry_is_found_and_named() -> None:
    log = _log()
    entries = parse_bundle(log.files[FULL], 256)
    entries[7] = entries[7].replace(b"alice", b"mallo")
    _rewrite(log, entries)
    found = {(problem.fault, problem.where) for problem in verified(log).problems}
    assert {(Fault.SIGNATURE, "entry 7"), (Fault.TILE, "tile/0/000")} <= found
    assert any("entry 7 " in problem.text for problem in verified(log).problems)


def test_edited_entry_with_rewritten_tiles_does_not_reach_the_signed_root() -> None:
    log = _log()
    log.entries[7] = log.entries[7].replace(b"alice", b"mallo")
    log.write_tiles()
    assert faults(log) == {Fault.SIGNATURE, Fault.ROOT}


def test_removed_entry_is_found() -> None:
    log = _log()
    entries = parse_bundle(log.files[FULL], 256)
    _rewrite(log, entries[:7] + entries[8:])
    assert faults(log) == {Fault.MALFORMED}


def test_removed_entry_with_rewritten_tiles_leaves_a_gap_in_the_sequence() -> None:
    log = _log()
    del log.entries[7]
    log.files = {}
    log.publish()  # even with the log's key
    assert Fault.ORDER in faults(log)


def test_reordered_entries_are_found() -> None:
    log = _log()
    log.entries[6], log.entries[7] = log.entries[7], log.entries[6]
    log.write_tiles()
    assert {Fault.ORDER, Fault.ROOT, Fault.INTENT} <= faults(log)


@pytest.mark.parametrize("trailing", [b"\x00", b"\x00\x00", b"\x00\x01x", b"\xff\xff"])
def test_trailing_bytes_in_a_bundle_are_found(trailing: bytes) -> None:
    log = _log()
    log.files[FULL] += trailing
    assert faults(log) == {Fault.MALFORMED}


def test_trailing_bytes_in_a_tile_are_found() -> None:
    log = _log()
    log.files["tile/0/000"] += bytes(32)
    assert faults(log) == {Fault.TILE}


@pytest.mark.parametrize(
    "path", ["tile/entries/000", "tile/0/000", "tile/1/000.p/1", "tile/entries/001.p/146"]
)
def test_missing_file_is_found(path: str) -> None:
    log = _log()
    del log.files[path]
    assert faults(log) == {Fault.MISSING}


def test_forged_checkpoint_is_refused() -> None:
    log = _log()
    log.sign(by=note_signer(seed=9))
    assert faults(log) == {Fault.CHECKPOINT}
    log = _log()
    log.files["checkpoint"] = log.files["checkpoint"].replace(b"\n402\n", b"\n401\n")
    assert faults(log) == {Fault.CHECKPOINT}


def test_rollback_to_an_earlier_honest_state_is_found_with_a_kept_checkpoint() -> None:
    newer, older = _log(200), _log(100)
    assert verified(older).verdict is Verdict.GOOD
    assert faults(older, since=_head(newer)) == {Fault.ROLLBACK}
    assert faults(newer, since=_head(older)) == set()


@pytest.mark.parametrize("count", [100, 200])
def test_fork_is_found_with_a_kept_checkpoint(count: int) -> None:
    kept = _head(_log(count))
    other = MemoryLog.of([Record(RecordType.CONFIG, call_id="x"), *calls(200)[1:]])
    assert verified(other).verdict is Verdict.GOOD
    assert faults(other, since=kept) == {Fault.FORK}


def test_signature_by_a_key_that_was_never_introduced_is_found() -> None:
    log = _log(3)
    log.add(Record(RecordType.CONFIG, call_id="x"), by=signer(66))
    log.publish()
    assert [(p.fault, p.where) for p in verified(log).problems] == [(Fault.UNKNOWN_KEY, "entry 8")]


def test_a_superseded_key_signs_nothing_any_more() -> None:
    log = _log(3)
    log.add(Record(RecordType.KEY, call_id="i", public_key=signer(2).public_key), by=signer(2))
    log.add(Record(RecordType.CONFIG, call_id="new"), by=signer(2))
    log.publish()
    assert verified(log).verdict is Verdict.GOOD
    log.add(Record(RecordType.CONFIG, call_id="old"), by=signer(1))
    log.publish()
    assert faults(log) == {Fault.UNKNOWN_KEY}


def test_a_key_introduced_by_somebody_else_is_refused() -> None:
    log = _log(3)
    log.add(Record(RecordType.KEY, call_id="i", public_key=signer(2).public_key), by=signer(1))
    log.publish()
    assert faults(log) == {Fault.MALFORMED}


@pytest.mark.parametrize(
    "record",
    [
        Record(RecordType.OUTCOME, call_id="c1"),
        Record(RecordType.RECOVERED, call_id="c1"),
        Record(RecordType.OUTCOME, call_id="never"),
    ],
    ids=repr,
)
def test_duplicate_outcome_or_one_without_intent_is_found(record: Record) -> None:
    assert faults(MemoryLog.of([*calls(3), record])) == {Fault.INTENT}


def test_intent_of_a_call_that_is_open_is_found() -> None:
    intent = Record(RecordType.INTENT, call_id="twice")
    assert faults(MemoryLog.of([intent, intent])) == {Fault.INTENT}


def test_open_intent_is_reported_as_incomplete() -> None:
    report = verified(MemoryLog.of([Record(RecordType.INTENT, call_id="open"), *calls(2)]))
    assert (report.verdict, report.open_intents) == (Verdict.INCOMPLETE, (("open", 1),))


def test_an_entry_that_is_not_an_entry_is_found() -> None:
    log = _log(3)
    log.entries.append(b'{"v":1}')
    log.publish()
    assert faults(log) == {Fault.MALFORMED}


@pytest.mark.parametrize(
    "path", ["tile/0/007", "tile/entries/001.p/200", "tile/2/000.p/1", "tile/readme", "tile/0/1"]
)
def test_files_that_no_checkpoint_covers_are_found(path: str) -> None:
    log = _log()
    log.files[path] = b"planted"
    assert faults(log) == {Fault.EXTRA}


def test_superseded_partial_tiles_are_fine_and_checked() -> None:
    log = MemoryLog.of(calls(50))
    for record in calls(130)[101:]:
        log.add(record)
    log.publish()
    assert "tile/0/000.p/102" in log.files
    assert verified(log).verdict is Verdict.GOOD
    log.files["tile/0/000.p/102"] = bytes(102 * 32)
    assert faults(log) == {Fault.EXTRA}


def test_tiles_ahead_of_the_checkpoint_are_fine_only_when_the_writers_tail_explains_them() -> None:
    log = _log(127)
    _hold(log, Record(RecordType.INTENT, call_id="late"))
    log.write_tiles()
    report = verified(log)
    assert (report.verdict, report.uncovered, report.problems) == (Verdict.INCOMPLETE, 1, ())
    log.held.clear()
    assert faults(log) == {Fault.EXTRA}


def test_forged_entry_in_the_writers_tail_is_found() -> None:
    log = _log(3)
    log.held = [(8, seal(Record(RecordType.CONFIG, call_id="x"), EntryPlace("i", 8, 0), signer(66)))]
    assert faults(log) == {Fault.UNKNOWN_KEY}


def test_tail_that_does_not_join_the_checkpoint_is_found() -> None:
    log = _log(3)
    _hold(log, Record(RecordType.CONFIG, call_id="x"), at=9)
    assert faults(log) == {Fault.MISSING}


def test_deleted_checkpoint_does_not_pass_as_a_new_log() -> None:
    log = _log()
    del log.files["checkpoint"]
    assert Fault.EXTRA in faults(log)


class _LiveLog(MemoryLog):
    """Publishes one more call each time its checkpoint was read, and drops partial tiles as a writer may."""

    def checkpoint(self) -> bytes | None:
        note = super().checkpoint()
        if len(self.entries) < 265:
            for record in calls(len(self.entries))[-2:]:
                self.add(record)
            self.publish()
            full = {path for path in self.files if ".p/" not in path}
            self.files = {
                path: self.files[path] for path in self.files if path.split(".p/")[0] not in full - {path}
            }
            self.held = [(len(self.entries) - 1, self.entries[-1])]
        return note


def test_a_log_that_is_written_meanwhile_verifies() -> None:
    log = _LiveLog.of(calls(127))
    report = verified(log)
    assert report.problems == ()
    assert report.size + report.uncovered == len(log.entries)
