"""What is written in one turn of the event loop goes out as one.

Knows: transports. Must not know: what is written.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

_DELIVERY_SECONDS = 0.2
_NO_LINGERING = struct.pack("ii", 1, 0)  # a close sends RST (tcp(7))


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

    def cut(self) -> None:
        """Resets the connection once what was written can have arrived: where a reply has neither length nor
        chunks, as in HTTP/1.0, nothing else tells that it is not whole.
        """
        self.flush()
        self._loop.call_later(_DELIVERY_SECONDS, self._reset)

    def _reset(self) -> None:
        if not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING
            )
            self._transport.abort()

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
