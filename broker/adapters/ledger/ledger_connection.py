"""One ledger, as the writer of its log sees it: a socket, and the calls that it has under way.

Knows messages and intents. Must not know the log, or what a message asks for.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from socket import SHUT_RDWR, SO_SNDTIMEO, SOL_SOCKET, socket

from broker.adapters.ledger.messages import WriterMessage, WriterMessages
from broker.adapters.ledger.submission import DraftedEntry
from broker.model.record import RecordType
from broker.tlog.intents import CLOSING

RECEIVE_BYTES = 256 * 1024
_SEND_SECONDS = 10
_TIMEVAL = struct.Struct("ll")


class LedgerConnection:
    """A ledger that is gone hears nothing."""

    def __init__(self, ledger: socket) -> None:
        # the kernel's timeout: with Python's, each call of a socket would be two
        ledger.setsockopt(SOL_SOCKET, SO_SNDTIMEO, _TIMEVAL.pack(_SEND_SECONDS, 0))
        self._ledger = ledger
        self._lock = threading.Lock()
        self._messages = WriterMessages()
        self.under_way: dict[str, DraftedEntry] = {}
        """The calls that it has begun and not ended: call id → intent."""

    def fileno(self) -> int:
        """Of its socket."""
        return self._ledger.fileno()

    def say(self, message: WriterMessage) -> None:
        """From any thread. A ledger that does not read for 10 s hears no more, and ends."""
        with self._lock:
            try:
                self._ledger.sendall(message.encode())
            except OSError:
                with contextlib.suppress(OSError):
                    self._ledger.shutdown(SHUT_RDWR)

    def placed(self, entry: DraftedEntry) -> None:
        """It is durable."""
        if entry.kind is RecordType.INTENT:
            self.under_way[entry.call_id] = entry
        elif entry.kind in CLOSING:
            self.under_way.pop(entry.call_id, None)

    def close(self) -> None:
        """Lets the socket go."""
        self._ledger.close()

    def receive(self) -> list[WriterMessage] | None:
        """What lies ready, once something does; None where it has ended."""
        with contextlib.suppress(OSError):
            if data := self._ledger.recv(RECEIVE_BYTES):
                return list(self._messages.feed(data))
        return None
