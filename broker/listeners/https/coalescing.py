"""What is written in one turn of the event loop goes out as one.

Knows: transports. Must not know: what is written.
"""

from __future__ import annotations

import asyncio
from typing import Any


class CoalescingTransport:
    """A transport that sends what one turn of the loop writes together: uvicorn writes the head and the body
    of a reply apart, which would make two TLS records, two system calls and two wake-ups of the caller.
    Whatever else is asked of it, the transport itself does.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sent at the end of this turn, or with `flush`."""
        if not self._gathered:
            self._loop.call_soon(self.flush)
        self._gathered.append(data)

    def close(self) -> None:
        """After what was written."""
        self.flush()
        self._transport.close()

    def write_last(self, data: bytes) -> None:
        """Sent at once, with what was written before: nothing follows for now."""
        if self._gathered:
            self._gathered.append(data)
            self.flush()
        elif data:
            self._transport.write(data)

    def flush(self) -> None:
        """Sends what was written. Idempotent."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._transport.write(b"".join(gathered))
