"""One request as it is written.

Knows: bytes that hold a key, and whether they may be written twice. Must not know: connections, answers.
"""

from __future__ import annotations

import asyncio

from broker.model.sends import Sends

_IDEMPOTENT = (b"GET ", b"HEAD ", b"DELETE ")


class OutgoingRequest:
    """A request's bytes, which hold a key: an exception's frames keep this object, which shows nothing. Each
    time that they are written counts in `sends`.
    """

    __slots__ = ("_content", "_sends")

    def __init__(self, content: bytes, sends: Sends) -> None:
        self._content = content
        self._sends = sends

    @property
    def idempotent(self) -> bool:
        """Whether upstream may be sent it twice (RFC 9110, 9.2.2)."""
        return self._content.startswith(_IDEMPOTENT)

    def write_to(self, transport: asyncio.Transport) -> None:
        self._sends.begin()
        transport.write(self._content)

    def answered(self) -> None:
        """The head of an answer to it is there."""
        self._sends.answer()

    def __repr__(self) -> str:
        return "Message(…)"
