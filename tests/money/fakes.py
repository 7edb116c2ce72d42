"""The whole path in this process, with counters that a test can read, and an OpenAI that it scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC
from functools import cache
from typing import Any, cast

from broker.call.admission import Admission
from broker.call.inbound import InboundCall
from broker.call.limits import CallLimits
from broker.call.phases import Admitted, Asked, Authenticated, Authorized, Decided, Inspected
from broker.call.pipeline import Pipeline, Ports
from broker.call.stages import Stages
from broker.call.stream_supervisor import StreamSupervisor
from broker.catalog.estimate import Estimate
from broker.errors import BrokerError, Kind
from broker.identity.authentication import Authentication
from broker.lanes import Lane
from broker.model.call import Call, EventBatch, Events, Reply, StreamReply, UpstreamRequest
from broker.model.charge import Unit
from broker.model.decision import CallDecision, Content, PolicyVersion, Shape
from broker.model.limit import FixedWindow, Limit
from broker.model.operation import Operation
from broker.model.pool import ANYWHERE, Placement, SpentMoney
from broker.model.record import Record, RecordType
from broker.model.request_context import RequestContext
from broker.model.secret import Lease, Secret
from broker.model.sends import Sends
from broker.model.subject import Caller, Peer, Subject
from broker.model.units import NS_PER_SECOND, SECONDS_PER_DAY
from broker.prefilter.inspector import Inspector
from broker.shaping.mentions import Mentions
from tests.budget.windows import SpentWindows
from tests.call.fakes import HandClock
from tests.keypool.fakes import MemoryLedger
from tests.objects.memory import MemoryOwners

USD = 1_000_000
PEER = Peer("spiffe://dev.broker/ns/demo/sa/a", "00" * 32, 0, 2**40)
CONTEXT = RequestContext("call_1", PEER, "https")
PATHS = {
    Operation.CHAT: "/v1/chat/completions",
    Operation.COMPLETIONS: "/v1/completions",
    Operation.RESPONSES: "/v1/responses",
    Operation.EMBEDDINGS: "/v1/embeddings",
    Operation.EDITS: "/v1/edits",
    Operation.MODERATIONS: "/v1/moderations",
}
Script = Callable[[UpstreamRequest], Awaitable[Reply | StreamReply]]


def reply(document: object, status: int = 200, **headers: str) -> Reply:
    """A whole answer."""
    return Reply(status, tuple(headers.items()), json.dumps(document).encode())


def event(document: object) -> bytes:
    """One event of a chat stream."""
    data = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return f"data: {data}\n\n".encode()


def named(document: dict[str, Any]) -> bytes:
    """One event of a responses stream."""
    return f"event: {document['type']}\n".encode() + event(document)


def chunk(text: str, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat stream."""
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "c", "model": "gpt-4o", "choices": [choice], **more}


def used(tokens_in: int, tokens_out: int, **details: int) -> dict[str, Any]:
    """A usage object of chat; `cached=…`."""
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": details.get("cached", 0)},
    }


def interrupted() -> BrokerError:
    """What the upstream adapter raises when a stream ends too early."""
    return BrokerError(Kind.UPSTREAM_INTERRUPTED, "broken")


def streamed(events: Iterable[bytes | BrokerError | asyncio.Event]) -> StreamReply:
    """A streamed answer: an error is raised at its place; an asyncio.Event is set there, then silence."""

    async def generate() -> AsyncGenerator[EventBatch, None]:
        for each in events:
            if isinstance(each, BrokerError):
                raise each
            if isinstance(each, asyncio.Event):
                each.set()
                await asyncio.Event().wait()
            else:
                yield [each]

    async def nothing() -> None:
        return

    return StreamReply(200, (), Events(generate(), nothing))


@dataclass
class Keys:
    """A pool that never tires."""

    region: str | None = None
    leased: int = 0

    async def lease(self, credential: str, placement: Placement, model: str | None) -> Lease:
        del placement, model
        self.leased += 1
        return Lease(f"test:{credential}", 1, Secret("sk-x"), region=self.region, is_only_key=self.leased > 1)

    def quarantine(self, credential: str, lease: Lease, code: str) -> None: ...

    def cool_down(self, lease: Lease, model: str | None, seconds: float | None) -> None: ...

    def unfund(self, lease: Lease, spent: SpentMoney) -> None: ...


@dataclass
class Upstream:
    """Answers as its script does; `asked` is what arrived."""

    script: Script
    asked: list[UpstreamRequest] = field(default_factory=list)

    async def send(self, request: UpstreamRequest, lease: Lease, sends: Sends) -> Reply | StreamReply:
        del lease
        sends.begin()
        self.asked.append(request)
        return await self.script(request)


@dataclass(frozen=True)
class Inbound:
    """A call that has been decoded."""

    call: Call
    context: RequestContext = CONTEXT
    bearer: str | None = "x"

    @property
    def operation(self) -> Operation:
        return self.call.operation

    def admitted(self) -> None:
        """No listener waits for that."""

    async def decode(self, _lane: Lane) -> Call:
        return self.call


class Trusting:
    """Authenticates everybody; `over` ends what goes on."""

    over = False
    max_tokens: int | None = None

    def authenticate(self, peer: Peer, bearer: str | None, now: int) -> Caller:
        del bearer, now
        scope = tuple(operation.value for operation in Operation)
        return Caller(Subject(PEER.spiffe_id, "demo"), peer, "tok", scope, 2**40, None, self.max_tokens)

    def rechecking(self, caller: Caller) -> Callable[[int], None]:
        del caller

        def recheck(now: int) -> None:
            del now
            if self.over:
                raise BrokerError(Kind.TOKEN_EXPIRED, "over")

        return recheck


@dataclass
class Allowing:
    """Allows everything, shaped and placed as it is told; `cap` is the budget's, in micro-dollars."""

    shape: Shape = field(default_factory=Shape)
    placement: Placement = ANYWHERE
    cap: int = 10**12
    fit: bool = False
    cut: tuple[str, ...] = ()
    lent: frozenset[str] = frozenset()
    unseen_tokens: int | None = None

    async def decide(
        self, admission: Admission, inspected: Inspected, mentions: Mentions, estimate: object
    ) -> Decided:
        del estimate
        limits = (
            Limit("money", Unit.MICRO_USD, self.cap, FixedWindow(SECONDS_PER_DAY), fit=self.fit),
            Limit("tokens", Unit.TOKENS, 10**15, FixedWindow(SECONDS_PER_DAY)),
            Limit("requests", Unit.REQUESTS, 10**6, FixedWindow(SECONDS_PER_DAY)),
        )
        decision = CallDecision(
            True, "r", "", PolicyVersion("1", "0" * 64), Content(), self.shape, limits,
            credential="openai", placement=self.placement, cut=self.cut, lent=self.lent,
            unseen_tokens=self.unseen_tokens,
        )  # fmt: skip
        asked = Asked(inspected, mentions, {}, b"{}", None, "commitment")
        return admission.reached(Decided(asked, decision, 0))

    async def again(self, call: Authorized) -> None: ...


class Watched(Pipeline):
    """The path, which shows what it estimated a call at in the end."""

    estimate: Estimate | None = None

    async def _admit(
        self, admission: Admission, authenticated: Authenticated, inbound: InboundCall
    ) -> Admitted:
        admitted = await super()._admit(admission, authenticated, inbound)
        self.estimate = admitted.meter.estimate
        return admitted


class Till:
    """The path, and what was taken."""

    def __init__(self, script: Script, upstream: Upstream | None = None) -> None:
        self.clock = HandClock()
        self.upstream = upstream or Upstream(script)
        self.ledger = MemoryLedger()
        self.keys = Keys()
        self.trusting = Trusting()
        self.allowing = Allowing()
        self.supervisor = StreamSupervisor(self.clock, lambda: 0)
        self.owners = MemoryOwners()
        stages = _stages()
        self.pipeline = Watched(
            Ports(self.keys, self.upstream, self.ledger, self.owners, self.clock),
            cast("Authentication", self.trusting),
            stages,
            cast("Any", self.allowing),
            lambda *_: "commitment",
            self.supervisor,
            CallLimits(stages.finds, lambda *_: "commitment", UTC),
        )

    async def open(
        self, operation: Operation, document: dict[str, Any] | None, path: str | None = None
    ) -> Any:
        """Sends one call; its reply as the listeners get it."""
        body = json.dumps(document).encode() if document is not None else b""
        return await self.pipeline.run(Inbound(_call(operation, document, body, path)))

    async def run(
        self,
        operation: Operation,
        document: dict[str, Any] | None,
        *,
        path: str | None = None,
        leave_after: int | None = None,
    ) -> list[bytes]:
        """Sends one call and takes its reply, a stream event by event; errors end it as they do for a caller.
        `leave_after`: the caller takes so many events and goes.
        """
        try:
            answer = await self.open(operation, document, path)
        except BrokerError:
            return []
        if isinstance(answer, Reply):
            return [answer.body]
        heard: list[bytes] = []
        try:
            async with aclosing(cast("AsyncGenerator[EventBatch, None]", answer.events)) as events:
                while leave_after is None or len(heard) < leave_after:
                    heard += await anext(cast("Any", events))
        except (StopAsyncIteration, BrokerError):
            pass
        return heard

    def taken(self, unit: Unit) -> int:
        """What is taken of this unit, and the log tells of it: a restart knows the same."""
        held = {each[:4]: each.amount for each in self.ledger.windows.items()}
        spent = SpentWindows()
        for record in self.ledger.records:
            spent.observe(record)
        told = spent.items(self.clock.now_ns() // NS_PER_SECOND)
        assert {each[:4]: each.amount for each in told} == held
        return sum(taken for key, taken in held.items() if key[1] is unit)

    @property
    def owned(self) -> set[str]:
        """The ids of what calls have made."""
        return set(self.owners._owners)

    @property
    def estimate(self) -> Estimate:
        """What the last call was estimated at."""
        assert self.pipeline.estimate is not None
        return self.pipeline.estimate

    @property
    def money(self) -> int:
        return self.taken(Unit.MICRO_USD)

    @property
    def outcome(self) -> Record:
        """The outcome of the last call."""
        return [record for record in self.ledger.records if record.type is RecordType.OUTCOME][-1]


@cache
def _stages() -> Stages:
    return Stages(Inspector((), ()))


def _call(operation: Operation, document: dict[str, Any] | None, body: bytes, path: str | None) -> Call:
    asked = document or {}
    return Call(
        operation,
        "POST" if document is not None else "GET",
        path or PATHS.get(operation, "/v1/x"),
        body,
        document,
        asked.get("model"),
        asked.get("stream") is True,
        headers=(("content-type", "application/json"),),
    )
