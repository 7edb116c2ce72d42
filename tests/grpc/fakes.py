"""A core that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from broker.adapters.clock import SystemClock
from broker.adapters.telemetry import LoadMetrics
from broker.call.inbound import InboundCall
from broker.errors import BrokerError, Kind
from broker.lanes import Lane, Lanes
from broker.listeners.overload import LoadShedder
from broker.model.call import Call, EventBatch, Reply, StreamReply
from broker.model.charge import LimitState, LimitUse, Taken, Unit
from broker.model.decision import PolicyVersion
from broker.model.explanation import Explanation
from broker.model.limit import OwnLimit
from broker.model.request_context import RequestContext
from broker.model.subject import IssuedToken, Peer
from broker.model.token import AccessTokenRequest, TokenState
from broker.tlog.search import Search

Answering = Callable[[InboundCall, Call], Awaitable[Reply | StreamReply]]
JSON = (("content-type", "application/json"), ("x-request-id", "req_1"), ("x-ratelimit-limit-requests", "9"))


def answer(body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = JSON) -> Answering:
    """A finished reply, whatever is asked."""

    async def answering(_inbound: InboundCall, _call: Call) -> Reply:
        return Reply(status, headers, body)

    return answering


@dataclass
class Stream:
    """A stream of events; afterwards it waits, or raises `failure`. `closed` is set when it ends."""

    events: list[bytes]
    failure: BaseException | None = None
    waits: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _inbound: InboundCall, _call: Call) -> StreamReply:
        return StreamReply(200, (("x-request-id", "req_2"),), self._iterate())

    async def _iterate(self) -> AsyncGenerator[EventBatch, None]:
        try:
            for event in self.events:
                yield [event]
            if self.failure is not None:
                raise self.failure
            if self.waits:
                await asyncio.Event().wait()
        finally:
            self.closed.set()


def shedder() -> LoadShedder:
    """One that no test of the listener overwhelms."""
    metrics = LoadMetrics(CollectorRegistry())
    return LoadShedder(SystemClock(), metrics, lambda _record, _call_id: None, waiting=100, under_way=100)


@dataclass
class FakeServices:
    """Pipeline, issuance and administration in one."""

    answering: Answering = field(default_factory=lambda: answer(b"{}"))
    inbounds: list[InboundCall] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    wishes: list[tuple[Peer, AccessTokenRequest, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    state: TokenState = field(default_factory=lambda: TokenState(active=False))
    missing: str = ""
    shedder: LoadShedder = field(default_factory=shedder)
    defects: list[tuple[str, Exception]] = field(default_factory=list)

    async def run(self, inbound: InboundCall) -> Reply | StreamReply:
        self.inbounds.append(inbound)
        call = await inbound.decode(Lane(Lanes(), inbound.context.peer.spiffe_id))
        self.calls.append(call)
        return await self.answering(inbound, call)

    async def issue(self, context: RequestContext, wish: AccessTokenRequest) -> IssuedToken:
        self.wishes.append((context.peer, wish, context.transport))
        return IssuedToken("minted", "tok_1", 300, ("chat:gpt-4o",))

    async def introspect(self, _context: RequestContext, _token: str) -> TokenState:
        return self.state

    async def revoke(self, _context: RequestContext, token: str) -> None:
        self.revoked.append(token)

    async def explain(self, _context: RequestContext, _point: str, _input_json: str) -> Explanation:
        return Explanation(True, "granted", "", (), PolicyVersion("first", "ab"))

    async def own(
        self, _context: RequestContext, _bearer: str | None, _operation: str | None, _model: str | None
    ) -> tuple[OwnLimit, ...]:
        return (OwnLimit("a calls", LimitState(Unit.CONCURRENT_CALLS, 3, 2, None)),)

    async def most_used(self, _context: RequestContext, named: str, most: int) -> tuple[LimitUse, ...]:
        return (LimitUse(Taken(named, Unit.TOKENS, 60, 120, most), None),)

    async def reset(self, _context: RequestContext, limit: str) -> tuple[Taken, ...]:
        return (Taken(limit, Unit.TOKENS, 60, 120, 7),)

    async def policy(self, _context: RequestContext) -> tuple[str, str, str]:
        return "first", "ab", ""

    async def records(self, _context: RequestContext, after_seq: int, search: Search) -> AsyncIterator[bytes]:
        for entry in filter(search.finds, self.entries[after_seq + 1 :]):
            yield entry

    async def records_of(self, _context: RequestContext, wanted: str) -> list[bytes]:
        return [*filter(Search({"call_id": (wanted,)}).finds, self.entries)]

    async def record_at(self, _context: RequestContext, seq: int) -> bytes:
        if seq >= len(self.entries):
            raise BrokerError(Kind.NOT_FOUND, "No such entry.")
        return self.entries[seq]

    async def checkpoint(self, _context: RequestContext) -> bytes:
        return b"test.log\n2\nabc=\n"
