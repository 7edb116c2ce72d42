"""A ledger's end of the socket to its writer, and the process that a writer runs in.

Knows an event loop's transport and a child process. Must not know records, sequencing or refusals.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from socket import socket, socketpair
from typing import Protocol

from broker.adapters.ledger.messages import MessageType, WriterMessage, WriterMessages
from broker.adapters.ledger.opening import OpenedLog, Opening
from broker.adapters.ledger.submission import (
    Submission,
    SubmissionResult,
    parse_answered,
    parse_size,
    submitted,
)
from broker.errors import BrokerError, Kind

CLOSE_SECONDS = 10.0
LOST_SECONDS = 1.0
ENDED = "the process that writes the log has ended"


class Writer(Protocol):
    """Where `service.write_log` runs. Both methods block."""

    def start(self, ledger: socket) -> None:
        """Has it serve a copy of this socket. Raises OSError."""

    def wait(self, seconds: float) -> bool:
        """Returns when it ended, or after so long; whether it ended."""

    def kill(self) -> None:
        """Ends it, wherever it stands: what it leaves is what a crash leaves."""


class WriterProcess:
    """A process of its own, with a memory and an interpreter lock of its own."""

    def start(self, ledger: socket) -> None:
        """See Writer."""
        # -P: whatever lies in the working directory is not imported
        command = [sys.executable, "-P", "-m", "broker.adapters.ledger"]
        self._process = subprocess.Popen(  # noqa: S603 - ours
            command, stdin=ledger.fileno(), stdout=subprocess.DEVNULL, stderr=sys.stderr
        )

    def wait(self, seconds: float) -> bool:
        """See Writer."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """See Writer. One that hangs in the disk ends when the disk lets it."""
        self._process.kill()


class WriterLink(asyncio.Protocol):
    """Use: `await open()`, `submit` from that event loop, `await close()`.

    `on_heard` is called whenever the writer says anything, `on_answer` gets what became of the submission of
    this number, `on_size` how many entries are durable, `on_lost` why no further one will be: once, and never
    because of `close`.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        on_answer: Callable[[int, SubmissionResult], None],
        on_size: Callable[[int], None],
        on_lost: Callable[[str], None],
        on_heard: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._on_answer = on_answer
        self._on_size = on_size
        self._on_lost = on_lost
        self._on_heard = on_heard
        self._messages = WriterMessages()
        self._closing = False

    async def open(self, opening: Opening) -> OpenedLog:
        """Starts the writer. Raises BrokerError AUDIT_UNAVAILABLE where it refuses the log, and OSError."""
        loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[WriterMessage] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        ours, theirs = socketpair()
        try:
            with theirs:
                await asyncio.to_thread(self._writer.start, theirs)
        except OSError:
            ours.close()
            raise
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=ours)
        self._transport.write(opening.message().encode())
        try:
            return OpenedLog.parse(await self._answer)
        except BrokerError:
            await self.close()
            raise

    def submit(self, batch: Sequence[Submission]) -> None:
        """Sends them, in order. Never blocks."""
        self._transport.write(submitted(batch).encode())

    def ping(self) -> None:
        """Asks whether the writer is at work; its answer is heard, as all that it says."""
        if not self._transport.is_closing():
            self._transport.write(WriterMessage(MessageType.PING, b"").encode())

    async def close(self) -> None:
        """Has the writer finish what was sent, and waits for its end: at most 10 s, and hardly at all where
        it was lost. Then it is killed; nothing that was acknowledged is lost by that.
        """
        patience = LOST_SECONDS if self._closing else CLOSE_SECONDS
        self._closing = True
        if not self._transport.is_closing():
            self._transport.write_eof()
            await asyncio.wait([self._ended], timeout=patience)
        self._transport.close()
        if not await asyncio.to_thread(self._writer.wait, LOST_SECONDS):
            self._writer.kill()
            await asyncio.to_thread(self._writer.wait, LOST_SECONDS)

    def give_up(self) -> None:
        """It is lost: `close` does not wait for it."""
        self._closing = True

    def data_received(self, data: bytes) -> None:
        """Part of what the writer says."""
        self._on_heard()
        for message in self._messages.feed(data):
            match message.says:
                case MessageType.PONG:
                    self._on_size(parse_size(message.payload))
                case MessageType.ANSWER:
                    self._on_size(parse_size(message.payload))
                    for number, answer in parse_answered(message.payload):
                        self._on_answer(number, answer)
                case MessageType.LOST:
                    self._lose(message.payload.decode())
                case _:
                    self._answer.set_result(message)

    def connection_lost(self, _error: Exception | None) -> None:
        """The writer ended, or `close` did."""
        self._ended.set_result(None)
        if self._answer.done():
            self._lose(ENDED)
        else:
            self._answer.set_exception(_unopened())

    def _lose(self, why: str) -> None:
        if not self._closing:
            self._closing = True
            self._on_lost(why)


def _unopened() -> BrokerError:
    return BrokerError(
        Kind.AUDIT_UNAVAILABLE,
        f"The log was not opened: {ENDED}.",
        remedy="What it printed tells why; it needs what this process needs, and some memory of its own.",
    )
