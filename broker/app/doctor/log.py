"""The audit log's folder and its keys: can they be written, is it the log that the configuration names.

Knows: folders and the log's checkpoint. Must not know: records.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.memory import recall
from broker.app.doctor.check import Check, Level
from broker.config import Settings
from broker.config.audit import AuditSettings
from broker.tlog.malformed import MalformedError

_SUBJECT = "log"
_LITTLE = 1024**3


def check_log(settings: Settings) -> Iterator[Check]:
    """The folder, its origin, the space left, and the folder of its keys."""
    audit = settings.audit
    yield _writable(audit.directory, "the log")
    yield _writable(audit.keys, "the log's keys")
    yield from _origin(audit.directory, audit.origin)
    yield from _remembered(audit)
    free = shutil.disk_usage(_standing(audit.directory)).free
    left = f"{free / 1024**3:.1f} GiB are left for the log."
    if free < _LITTLE:
        yield Check(_SUBJECT, Level.WARNING, left, "A full disk ends the broker: make room.")
    else:
        yield Check(_SUBJECT, Level.GOOD, left)


def _writable(folder: Path, what: str) -> Check:
    standing = _standing(folder)
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        remedy = "Give it to the user that the broker runs as, and run the doctor as that user."
        return Check(_SUBJECT, Level.BAD, f"{standing} cannot be written: {what} goes there.", remedy)
    made = "" if standing == folder else " (it will be made)"
    return Check(_SUBJECT, Level.GOOD, f"{folder} can be written{made}.")


def _standing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _remembered(audit: AuditSettings) -> Iterator[Check]:
    """Whether the log still has all that was acknowledged: a start would refuse it."""
    try:
        known = recall(audit.keys, audit.origin)
        size = LogDirectory(audit.directory).size() if known is not None else 0
    except (MalformedError, OSError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        told = f"What was acknowledged cannot be compared with the log: {what}."
        yield Check(_SUBJECT, Level.BAD, told, "Run `broker audit verify` on the log.")
        return
    if known is not None and size < known.size:
        told = f"The log has {size} entries where {known.size} were acknowledged: it was cut or rolled back."
        remedy = "Restore the newest copy; or begin a new log: another audit.directory and audit.origin."
        yield Check(_SUBJECT, Level.BAD, told, remedy)


def _origin(folder: Path, origin: str) -> Iterator[Check]:
    try:
        checkpoint = LogDirectory(folder).checkpoint()
    except OSError:
        yield Check(_SUBJECT, Level.BAD, f"{folder}/checkpoint cannot be read.", "Check its owner and mode.")
        return
    if checkpoint is None:
        return
    found = checkpoint.split(b"\n", 1)[0].decode("utf-8", "replace")
    if found != origin:
        told = f"{folder} holds another log: its origin is not that of audit.origin."
        yield Check(
            _SUBJECT, Level.BAD, told, "An origin belongs to one log for ever: choose another folder."
        )
    else:
        yield Check(_SUBJECT, Level.GOOD, f"{folder} holds the log {origin}.")
