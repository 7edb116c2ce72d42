"""A ledger's end of the socket to its writer.

Knows an event loop's transport. Must not know records, sequencing or refusals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from broker.adapters.ledger.access import WriterAccess
from broker.adapters.ledger.messages import MessageType, WriterMessage, WriterMessages, parse_revoked
from broker.adapters.ledger.opening import OpenedLog
from broker.adapters.ledger.submission import (
    Submission,
    SubmissionResult,
    parse_answered,
    parse_held,
    parse_size,
    submitted,
    term_begins,
)
from broker.errors import BrokerError, Kind
from broker.model.charge import Taken

CLOSE_SECONDS = 10.0
LOST_SECONDS = 1.0
ENDED = "the process that writes the log has ended"


class WriterLink(asyncio.Protocol):
    """Use: `await open()`, `submit` from that event loop, `await close()`.

    `on_heard` is called whenever the writer says anything, `on_answer` gets what became of the submission of
    this number, `on_size` how many entries are durable, `on_pong` the same in answer to a ping, `on_revoked`
    which token another ledger of this log has had revoked, `on_limits` a LIMITS_TOLD, `on_lost` why no
    further entry will be durable: once, and never because of `close`.
    """

    def __init__(
        self,
        access: WriterAccess,
        *,
        on_answer: Callable[[int, SubmissionResult], None],
        on_size: Callable[[int], None],
        on_pong: Callable[[int], None],
        on_revoked: Callable[[str, int], None],
        on_limits: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        on_heard: Callable[[], None],
    ) -> None:
        self._access = access
        self._on_answer = on_answer
        self._on_size = on_size
        self._on_pong = on_pong
        self._on_revoked = on_revoked
        self._on_limits = on_limits
        self._on_lost = on_lost
        self._on_heard = on_heard
        self._messages = WriterMessages()
        self._closing = False
        self._held: asyncio.Future[tuple[Taken, ...]] | None = None

    async def open(self) -> OpenedLog:
        """Opens the log, or joins who has. Raises BrokerError AUDIT_UNAVAILABLE where the writer refuses it,
        and OSError.
        """
        loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[WriterMessage] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        ours = await self._access.connect()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=ours)
        self._transport.write(self._access.hello.encode())
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
        self.say(WriterMessage(MessageType.PING, b""))

    def say(self, message: WriterMessage) -> None:
        """Anything that nobody's record depends on."""
        if not self._transport.is_closing():
            self._transport.write(message.encode())

    async def begin_term(self, term: int) -> tuple[Taken, ...]:
        """From now on nothing is recorded that was charged in another term. What the log's calls had taken
        by then. One at a time. Raises BrokerError AUDIT_UNAVAILABLE where the writer is lost.
        """
        if self._transport.is_closing():
            raise _unopened()
        self._held = asyncio.get_running_loop().create_future()
        self._transport.write(term_begins(term).encode())
        return await self._held

    async def close(self) -> None:
        """Has the writer finish what was sent, and waits until it has: at most 10 s, and hardly at all where
        it was lost.
        """
        patience = LOST_SECONDS if self._closing else CLOSE_SECONDS
        self._closing = True
        if not self._transport.is_closing():
            self._transport.write_eof()
            await asyncio.wait([self._ended], timeout=patience)
        self._transport.close()
        await self._access.let_go()

    def give_up(self) -> None:
        """It is lost: `close` does not wait for it."""
        self._closing = True

    def data_received(self, data: bytes) -> None:
        """Part of what the writer says."""
        self._on_heard()
        for message in self._messages.feed(data):
            match message.says:
                case MessageType.PONG:
                    self._on_pong(parse_size(message.payload))
                case MessageType.ANSWER:
                    self._on_size(parse_size(message.payload))
                    for number, answer in parse_answered(message.payload):
                        self._on_answer(number, answer)
                case MessageType.REVOKED:
                    self._on_revoked(*parse_revoked(message.payload))
                case MessageType.HELD if self._held is not None:
                    if not self._held.done():
                        self._held.set_result(parse_held(message.payload))
                case MessageType.LIMITS_TOLD:
                    self._on_limits(message.payload)
                case MessageType.LOST:
                    self._lose(message.payload.decode())
                case _:
                    self._answer.set_result(message)

    def connection_lost(self, _error: Exception | None) -> None:
        """The writer ended, or `close` did."""
        self._ended.set_result(None)
        if self._held is not None and not self._held.done():
            self._held.set_exception(_unopened())
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
