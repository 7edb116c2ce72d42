"""The real client for these tests: a clock that does not wait, and a call through it."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy, UpstreamOrigin
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.secret import Lease, Secret
from broker.model.sends import Sends

NOW_NS = 1_795_890_400 * 10**9
"""28 November 2026, 18:26:40 UTC."""


@dataclass
class Clock:
    """Implements `ports.Clock`: `slept` is what was to be waited; nothing is."""

    slept: list[float] = field(default_factory=list)

    def now_ns(self) -> int:
        return NOW_NS

    def monotonic_ns(self) -> int:
        return NOW_NS

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def random_bytes(self, size: int) -> bytes:
        return bytes(size)


@dataclass
class Caller:
    """Calls an upstream; `sends` are those of the last call."""

    url: str
    deadlines: Deadlines = field(default_factory=Deadlines)
    clock: Clock = field(default_factory=Clock)
    sends: Sends = field(default_factory=Sends)

    def __post_init__(self) -> None:
        origin = UpstreamOrigin.at(f"{self.url}/v1", 4, self.deadlines)
        self.upstream = OpenAIUpstream(origin, {}, self.clock, RetryPolicy())

    async def call(self, method: str = "POST", *, is_only_key: bool = True) -> Reply | StreamReply:
        """One call to its answer. Raises BrokerError."""
        self.sends = Sends()
        request = UpstreamRequest(method, "/v1/chat/completions", b"", (), stream=False)
        lease = Lease("test:key", 1, Secret("sk-0123456789"), is_only_key=is_only_key)
        return await self.upstream.send(request, lease, self.sends)

    async def close(self) -> None:
        await self.upstream.aclose()
