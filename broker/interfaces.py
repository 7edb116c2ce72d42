"""The core as both listeners see it, one protocol a service.

Knows: what is asked of it. Must not know: who does it; the composition root says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from broker.arrival import Arrival
from broker.model.call import Reply, StreamReply
from broker.model.explanation import Explanation
from broker.model.subject import IssuedToken, Peer
from broker.model.token import TokenState, TokenWish
from broker.tlog.search import Search


class Calls(Protocol):
    """The pipeline. Raises BrokerError."""

    async def run(self, arrival: Arrival) -> Reply | StreamReply: ...


class Issuing(Protocol):
    """Issues tokens. Raises BrokerError."""

    async def issue(self, peer: Peer, wish: TokenWish, transport: str, call_id: str) -> IssuedToken: ...


class Explains(Protocol):
    """Says what the policies would decide, as far as the asker may know. Raises BrokerError."""

    async def explain(
        self, peer: Peer, point: str, input_json: str, transport: str, call_id: str
    ) -> Explanation: ...

    async def policy(self, peer: Peer, transport: str, call_id: str) -> tuple[str, str, str]: ...


class Administering(Protocol):
    """Acts after `data.broker.admin.decision` allowed it. Raises BrokerError."""

    async def introspect(self, peer: Peer, token: str, transport: str, call_id: str) -> TokenState: ...

    async def revoke(self, peer: Peer, token: str, transport: str, call_id: str) -> None: ...

    def records(
        self, peer: Peer, after_seq: int, search: Search, transport: str, call_id: str
    ) -> AsyncIterator[bytes]: ...

    async def records_of(self, peer: Peer, wanted: str, transport: str, call_id: str) -> list[bytes]: ...

    async def record_at(self, peer: Peer, seq: int, transport: str, call_id: str) -> bytes: ...

    async def checkpoint(self, peer: Peer, transport: str, call_id: str) -> bytes: ...
