"""Questions and notices between two processes of one broker, either way, as lines of JSON.

Knows the form of a line. Must not know what is asked. Both ends are this program, in one version. A line may
hold a key: nothing of it is shown anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from socket import socket

import orjson

from broker.errors import BrokerError, Kind

Members = dict[str, object]
MAX_LINE_BYTES = 16 * 1024 * 1024


class Channel:
    """One end. Use: `await open(socket)`, then from that event loop; `ended` is done when the other end is
    gone.
    """

    def __init__(
        self,
        answer: Callable[[str, Members], Awaitable[Members]],
        hear: Callable[[str, Members], None],
    ) -> None:
        """`answer` gets what is asked and with which members, and may raise BrokerError, which is raised
        where it was asked; `hear` gets notices, and never raises.
        """
        self._answer = answer
        self._hear = hear
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Members]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None

    async def open(self, ours: socket) -> None:
        """From now on the other end is heard. The socket belongs to the channel."""
        self._lines, self._writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE_BYTES)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    async def ask(self, what: str, **members: object) -> Members:
        """What the other end answers. Raises the BrokerError that it answered with, and INTERNAL where it is
        gone.
        """
        if self.ended.done():
            raise _gone()
        number = next(self._numbers)
        answered: asyncio.Future[Members] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        self._say({"ask": what, "number": number, "members": members})
        try:
            return await answered
        finally:
            self._waiting.pop(number, None)

    def tell(self, what: str, **members: object) -> None:
        """A notice; where the other end is gone, nothing."""
        self._say({"tell": what, "members": members})

    async def aclose(self) -> None:
        """Ends it, for both."""
        if self._reading is not None:
            self._writer.close()
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _say(self, line: Members) -> None:
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(line) + b"\n")

    async def _read(self) -> None:
        try:
            async for line in self._lines:
                self._received(line)
        except (OSError, ValueError):
            pass  # the other end was killed, perhaps within a line
        finally:
            self._end()

    def _received(self, line: bytes) -> None:
        match orjson.loads(line):
            case {"ask": str() as what, "number": int() as number, "members": dict() as members}:
                task = asyncio.create_task(self._serve(what, number, members))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case {"tell": str() as what, "members": dict() as members}:
                self._hear(what, members)
            case {"number": int() as number, "answer": dict() as members}:
                self._settle(number, members)
            case {"number": int() as number, "error": dict() as error}:
                self._settle(number, _error(error))

    async def _serve(self, what: str, number: int, members: Members) -> None:
        try:
            self._say({"number": number, "answer": await self._answer(what, members)})
        except BrokerError as error:
            self._say({"number": number, "error": _members(error)})

    def _settle(self, number: int, answer: Members | BrokerError) -> None:
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if isinstance(answer, BrokerError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _end(self) -> None:
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_gone())
        if not self.ended.done():
            self.ended.set_result(None)


def _members(error: BrokerError) -> Members:
    return {
        "kind": error.kind.value,
        "message": error.message,
        "remedy": error.remedy,
        "retry_after": error.retry_after,
    }


def _error(members: dict[str, object]) -> BrokerError:
    retry_after = members.get("retry_after")
    return BrokerError(
        Kind(str(members["kind"])),
        str(members["message"]),
        remedy=str(members["remedy"]),
        retry_after=float(retry_after) if isinstance(retry_after, int | float) else None,
    )


def _gone() -> BrokerError:
    return BrokerError(
        Kind.CREDENTIAL_STORE_UNAVAILABLE,
        "The process that holds the keys is gone.",
        remedy="The broker ends, and its supervisor's exit code tells; start it again.",
        retry_after=1.0,
    )
