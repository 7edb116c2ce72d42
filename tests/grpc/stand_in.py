"""A core that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from broker.arrival import Arrival
from broker.errors import BrokerError, Kind
from broker.lanes import Lane, Lanes
from broker.model.call import Call, Reply, StreamReply
from broker.model.decision import PolicyVersion
from broker.model.explanation import Explanation
from broker.model.subject import IssuedToken, Peer
from broker.model.token import TokenState, TokenWish
from broker.tlog.search import Search

Answering = Callable[[Arrival, Call], Awaitable[Reply | StreamReply]]
JSON = (("content-type", "application/json"), ("x-request-id", "req_1"), ("x-ratelimit-limit-requests", "9"))


def answer(body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = JSON) -> Answering:
    """A finished reply, whatever is asked."""

    async def answering(_arrival: Arrival, _call: Call) -> Reply:
        return Reply(status, headers, body)

    return answering


@dataclass
class Stream:
    """A stream of events; afterwards it waits, or raises `failure`. `closed` is set when it ends."""

    events: list[bytes]
    failure: BaseException | None = None
    waits: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _arrival: Arrival, _call: Call) -> StreamReply:
        return StreamReply(200, (("x-request-id", "req_2"),), self._iterate())

    async def _iterate(self) -> AsyncGenerator[bytes, None]:
        try:
            for event in self.events:
                yield event
            if self.failure is not None:
                raise self.failure
            if self.waits:
                await asyncio.Event().wait()
        finally:
            self.closed.set()


@dataclass
class StandIn:
    """Pipeline, issuance and administration in one."""

    answering: Answering = field(default_factory=lambda: answer(b"{}"))
    arrivals: list[Arrival] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    wishes: list[tuple[Peer, TokenWish, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    state: TokenState = field(default_factory=lambda: TokenState(active=False))
    missing: str = ""
    defects: list[tuple[str, Exception]] = field(default_factory=list)

    async def run(self, arrival: Arrival) -> Reply | StreamReply:
        self.arrivals.append(arrival)
        call = await arrival.decode(Lane(Lanes(), arrival.peer.spiffe_id))
        self.calls.append(call)
        return await self.answering(arrival, call)

    async def issue(self, peer: Peer, wish: TokenWish, transport: str, _call_id: str) -> IssuedToken:
        self.wishes.append((peer, wish, transport))
        return IssuedToken("minted", "tok_1", 300, ("chat:gpt-4o",))

    async def introspect(self, _peer: Peer, _token: str, _transport: str, _call_id: str) -> TokenState:
        return self.state

    async def revoke(self, _peer: Peer, token: str, _transport: str, _call_id: str) -> None:
        self.revoked.append(token)

    async def explain(
        self, _peer: Peer, _point: str, _input_json: str, _transport: str, _call_id: str
    ) -> Explanation:
        return Explanation(True, "granted", "", (), PolicyVersion("first", "ab"))

    async def policy(self, _peer: Peer, _transport: str, _call_id: str) -> tuple[str, str, str]:
        return "first", "ab", ""

    async def records(
        self, _peer: Peer, after_seq: int, search: Search, _transport: str, _call_id: str
    ) -> AsyncIterator[bytes]:
        for entry in filter(search.finds, self.entries[after_seq + 1 :]):
            yield entry

    async def records_of(self, _peer: Peer, wanted: str, _transport: str, _call_id: str) -> list[bytes]:
        return [*filter(Search({"call_id": (wanted,)}).finds, self.entries)]

    async def record_at(self, _peer: Peer, seq: int, _transport: str, _call_id: str) -> bytes:
        if seq >= len(self.entries):
            raise BrokerError(Kind.NOT_FOUND, "No such entry.")
        return self.entries[seq]

    async def checkpoint(self, _peer: Peer, _transport: str, _call_id: str) -> bytes:
        return b"test.log\n2\nabc=\n"
