"""Whether the keys of a log, and its checkpoints, are certified by whom the reader believes.

Knows parsed entries in order, and what a certification must say where it stands. Must not know trees or
files.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.model.record import RecordType
from broker.model.units import US_PER_SECOND
from broker.tlog import base64s
from broker.tlog.certification import KeyUse, key_id, parse_certification
from broker.tlog.certifier import TrustedCertifier
from broker.tlog.checkpoint import Checkpoint, open_checkpoint
from broker.tlog.entry import Entry
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey, open_note
from broker.tlog.report import Fault, Problems


@dataclass(frozen=True, slots=True)
class Certified:
    """What a verification believes: the certifier, and the note that it signed beside the log, if any."""

    certifier: TrustedCertifier
    checkpoint: bytes | None = None


class CertifiedKeys:
    """Takes a log's entries one after another. Finds go to `problems`.

    A record key signs nothing before its certification is in the log: it comes with the `key` record that
    introduces the key, or came before. No entry is older than its key's certification says the key is.
    """

    __slots__ = ("_begins", "_certifier", "_known", "_origin", "_problems", "_too_old")

    def __init__(self, certifier: TrustedCertifier, origin: str, problems: Problems) -> None:
        self._certifier = certifier
        self._origin = origin
        self._problems = problems
        self._known: dict[tuple[KeyUse, bytes], int] = {}
        self._begins: int | None = None
        self._too_old = False

    def check(self, seq: int, entry: Entry) -> None:
        """Takes the parsed entry `seq`."""
        where = f"entry {seq}"
        if entry.record.type is RecordType.KEY:
            for text in entry.record.certifications or ():
                self._take(text, entry.place.instance, where)
            self._begin(entry.record.public_key or "", where)
        if (
            self._begins is not None
            and entry.place.time_us < self._begins * US_PER_SECOND
            and not self._too_old
        ):
            self._too_old = True  # said once for each key
            self._add(where, f"is dated before the certification of its key {entry.kid} begins")

    def check_checkpoint_key(self, key: NoteKey) -> None:
        """After the last entry: the key that signs the log's checkpoints must be certified in the log."""
        if (KeyUse.CHECKPOINT, key.public_key) not in self._known:
            self._add("checkpoint", f"the checkpoint key {key.key_id.hex()} is not certified in the log")

    def _take(self, text: str, instance: str, where: str) -> None:
        try:
            certification = parse_certification(text)
        except MalformedError as error:
            self._add(where, str(error))
            return
        statement = certification.statement
        if statement.origin != self._origin or statement.instance != instance:
            self._add(where, f"a certification of another log or process, for the key {statement.key_id}")
        elif not self._certifier.signed(statement.message(), certification.signature):
            self._add(where, f"the certification of the key {statement.key_id} is forged")
        else:
            self._known.setdefault((statement.use, statement.public_key), statement.not_before)

    def _begin(self, public_key: str, where: str) -> None:
        raw = base64s.from_url(public_key)
        self._begins = self._known.get((KeyUse.RECORD, raw))
        self._too_old = False
        if self._begins is None:
            self._add(where, f"the record key {key_id(KeyUse.RECORD, raw, self._origin)} is not certified")

    def _add(self, where: str, text: str) -> None:
        self._problems.add(Fault.UNCERTIFIED, where, text)


def open_certified_checkpoint(note: bytes, log: NoteKey, certifier: TrustedCertifier) -> Checkpoint:
    """The checkpoint that both `log` and one of the certifier's keys signed. Raises MalformedError."""
    checkpoint = open_checkpoint(note, log)
    for key in certifier.note_keys(log.name):
        try:
            open_note(note, key)
        except MalformedError:
            continue
        return checkpoint
    raise MalformedError("a checkpoint that the certifier did not sign")
