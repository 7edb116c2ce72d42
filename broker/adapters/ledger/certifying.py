"""Has a log's keys certified before they are used, and its checkpoints while it grows.

Knows: which keys are new, the files in `certified/`, when to ask. Must not know: who certifies.

`certified/<use>-<key id>.json` keeps each key's certification as it stands in the log, `certified/checkpoint`
the newest checkpoint that the certifier signed, too: both for readers without the log, and without the
broker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import structlog

from broker.adapters.ledger.directory import CERTIFIED, CERTIFIED_CHECKPOINT, LogDirectory
from broker.adapters.ledger.disk import Disk, DurableFiles
from broker.errors import BrokerError
from broker.model.units import NS_PER_SECOND
from broker.ports import Certifier, Clock
from broker.tlog.certification import Certification, KeyUse, Statement, parse_certification
from broker.tlog.certifier import certifier_name
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey, open_note, with_signature

FORGIVEN_SECONDS = 3600  # of the clock's error: a key's entries are never older than its certification says
FIRST_CHECKPOINT_SECONDS = 1.0
AGAIN_SECONDS = 5.0


class Certifying:
    """Of one log. Use: `certify` its keys, open the ledger with `new`, `start`; close that, `aclose`."""

    def __init__(
        self,
        certifier: Certifier,
        directory: Path,
        *,
        origin: str,
        instance: str,
        clock: Clock,
        every_seconds: float,
    ) -> None:
        """A checkpoint is certified every `every_seconds`, where there is a new one. The rest as
        FileLedger's.
        """
        self._certifier = certifier
        self._log_directory = LogDirectory(directory)
        self._files = DurableFiles(directory, Disk(), "tmp-certified")
        self._origin = origin
        self._instance = instance
        self._clock = clock
        self._every = every_seconds
        self._known: dict[KeyUse, str] = {}
        self._new: dict[str, str] = {}
        self._checkpoint_key: NoteKey | None = None
        self._done: bytes | None = None
        self._trouble = ""
        self._running: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    @property
    def new(self) -> tuple[str, ...]:
        """The certifications that the log does not hold yet."""
        return tuple(self._new.values())

    def certification(self, use: KeyUse) -> str:
        """The text that certifies the key of `use`; after `certify`."""
        return self._known[use]

    async def certify(self, keys: Mapping[KeyUse, bytes]) -> None:
        """Has each public key certified whose certification is not kept beside the log. Raises BrokerError
        CREDENTIAL_STORE_UNAVAILABLE: then none of the new ones may be used.
        """
        self._checkpoint_key = NoteKey(self._origin, keys[KeyUse.CHECKPOINT])
        for use, public_key in keys.items():
            begins = self._clock.now_ns() // NS_PER_SECOND - FORGIVEN_SECONDS
            statement = Statement(use, public_key, self._origin, self._instance, begins)
            name = f"{use}-{statement.key_id}.json"
            text = await asyncio.to_thread(self._kept, name, statement)
            if text is None:
                text = self._new[name] = await self._certified(statement)
            self._known[use] = text

    async def start(self) -> None:
        """Keeps what is new beside the log, which holds it by now; from then on certifies checkpoints. A
        certifier that is away is told of in the process's log, and holds up nothing.
        """
        new = [(f"{CERTIFIED}/{name}", text.encode()) for name, text in self._new.items()]
        await asyncio.to_thread(self._files.put, new)
        self._running = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Certifies the last checkpoint: call it when the ledger is closed."""
        if self._running is None:
            return
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        await self._certify_checkpoint()

    async def _certified(self, statement: Statement) -> str:
        try:
            signed = await self._certifier.sign(statement.message())
        except BrokerError as error:
            raise BrokerError(
                error.kind,
                f"The {statement.use} key {statement.key_id} is not certified, so it is not used: "
                f"{error.message}",
                remedy=f"{error.remedy} Then start the broker again.",
                retry_after=error.retry_after,
            ) from None
        self._log.info(
            "key_certified", use=statement.use.value, key_id=statement.key_id, version=signed.key_version
        )
        return str(Certification(statement, signed.key_version, signed.signature))

    def _kept(self, name: str, wanted: Statement) -> str | None:
        """The kept certification, where it is one of this very key, use and log."""
        content = self._log_directory.certification(name)
        try:
            found = parse_certification((content or b"").decode("utf-8")).statement
        except (MalformedError, UnicodeDecodeError):
            return None
        same = (found.use, found.public_key, found.origin) == (wanted.use, wanted.public_key, wanted.origin)
        return content.decode() if same and content is not None else None

    async def _run(self) -> None:
        pause = FIRST_CHECKPOINT_SECONDS
        while True:
            await self._clock.sleep(pause)
            certified = await self._certify_checkpoint()
            pause = self._every if certified else min(self._every, AGAIN_SECONDS)

    async def _certify_checkpoint(self) -> bool:
        """Whether the newest checkpoint is certified now. Told once when it stops being, and when it is
        again.
        """
        try:
            await self._sign_newest()
        except (BrokerError, OSError, MalformedError) as error:
            trouble = error.message if isinstance(error, BrokerError) else str(error)
            if trouble != self._trouble:
                remedy = error.remedy if isinstance(error, BrokerError) else "Look at the log's disk."
                self._log.warning("checkpoint_not_certified", why=trouble, remedy=remedy)
            self._trouble = trouble
            return False
        if self._trouble:
            self._log.info("checkpoint_certified_again")
        self._trouble = ""
        return True

    async def _sign_newest(self) -> None:
        note = await asyncio.to_thread(self._log_directory.checkpoint)
        if note is None or note == self._done or self._checkpoint_key is None:
            return
        text = open_note(note, self._checkpoint_key)  # whatever else may lie there is not signed
        signed = await self._certifier.sign(text.encode())
        key = NoteKey(certifier_name(self._origin), signed.public_key)
        certified = with_signature(note, key, signed.signature)
        await asyncio.to_thread(self._files.put, [(CERTIFIED_CHECKPOINT, certified)])
        self._done = note
