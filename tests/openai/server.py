"""An upstream of bare TCP: each request is answered with exactly the bytes that a test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Scripted:
    """`answers` are given one for each request, in order, whatever connection it comes on; a None closes
    the connection without a word. The last one is repeated.
    """

    answers: Sequence[bytes | None]
    closes: bool = False
    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open.append(writer)
        try:
            while not reader.at_eof():
                self.requests.append(await reader.readuntil(END))
                self.asked.set()
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                if answer is None:
                    break
                writer.write(answer)
                if self.closes:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*answers: bytes | None, closes: bool = False) -> AsyncIterator[Scripted]:
    """A server on a free port; `closes`: it closes the connection behind every answer."""
    upstream = Scripted(answers, closes)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    upstream.url = f"http://{host}:{port}"
    try:
        yield upstream
    finally:
        server.close()
        for writer in upstream.open:
            writer.transport.abort()
        await asyncio.sleep(0)  # the transports come to their end before the loop does
