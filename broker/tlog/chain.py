"""The rules that hold from entry to entry: sequence, keys, signatures, intents.

Knows parsed entries in order. Must not know trees, tiles or files.
"""

from __future__ import annotations

from broker.model.record import RecordType
from broker.tlog.certified import CertifiedKeys
from broker.tlog.entry import Entry, parse_entry
from broker.tlog.intents import OpenIntents
from broker.tlog.malformed import MalformedError
from broker.tlog.recordkey import RecordVerifier
from broker.tlog.report import Fault, Problems


class EntryChain:
    """Checks entries one after another, from the first of the log. Finds go to `problems`.

    A `key` record introduces the key it is signed with; from there on only that key may sign, until the next
    `key` record. So a superseded key, stolen later, signs nothing. With `certified`, that must accept the
    keys, too.
    """

    __slots__ = ("_certified", "_key", "_problems", "intents")

    def __init__(self, problems: Problems, certified: CertifiedKeys | None = None) -> None:
        self._problems = problems
        self._certified = certified
        self._key: RecordVerifier | None = None
        self.intents = OpenIntents()

    def check(self, seq: int, data: bytes) -> None:
        """Takes the bytes of entry `seq`."""
        where = f"entry {seq}"
        try:
            entry = parse_entry(data)
            if entry.record.type is RecordType.KEY:
                self._key = _introduced(entry)
        except MalformedError as error:
            self._problems.add(Fault.MALFORMED, where, str(error))
            return
        if entry.place.seq != seq:
            self._problems.add(Fault.ORDER, where, f"it says that it is entry {entry.place.seq}")
        self._check_signature(entry, where)
        self._check_intent(entry, seq, where)
        if self._certified is not None:
            self._certified.check(seq, entry)

    def _check_signature(self, entry: Entry, where: str) -> None:
        if self._key is None or entry.kid != self._key.kid:
            self._problems.add(Fault.UNKNOWN_KEY, where, "signed by a key that is not the one in force here")
        elif not self._key.verifies(entry.sig, entry.unsigned()):
            self._problems.add(Fault.SIGNATURE, where, "its signature does not verify")

    def _check_intent(self, entry: Entry, seq: int, where: str) -> None:
        if not self.intents.observe(entry.record.type, entry.record.call_id, seq):
            opens = entry.record.type is RecordType.INTENT
            rule = "an intent for a call that is open" if opens else "closes a call without an open intent"
            self._problems.add(Fault.INTENT, where, rule)


def _introduced(entry: Entry) -> RecordVerifier:
    """The key that a `key` record introduces; it must be the one that signed the record."""
    key = RecordVerifier.parse(entry.record.public_key or "")
    if key.kid != entry.kid:
        raise MalformedError("a key record that is not signed by the key it introduces")
    return key
