"""A clock set by hand, and an engine that counts how often it is asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import orjson

from broker.model.decision import PolicyVersion
from broker.ports import DecisionPoint, Evaluation

FIRST = PolicyVersion("first", "a" * 64)
SECOND = PolicyVersion("second", "b" * 64)


@dataclass
class HandClock:
    """Time stands still until a test moves it."""

    ns: int = 1_795_000_000_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)
        await asyncio.sleep(0)

    def random_bytes(self, size: int) -> bytes:
        return bytes(size)


@dataclass
class CountingEngine:
    """Decides by the document alone: `cache_for` and `allow` are read from it, everything else is echoed."""

    version: PolicyVersion = FIRST
    asked: int = 0
    hold: asyncio.Event | None = field(default=None)

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        self.asked += 1
        version = self.version
        if self.hold is not None:
            await self.hold.wait()
        seen = {name: value for name, value in document.items() if name != "now_ns"}
        echo = orjson.dumps(seen, option=orjson.OPT_SORT_KEYS).decode()
        result: dict[str, object] = {"point": point.value, "seen": echo}
        if "cache_for" in document:
            result["cache_for"] = document["cache_for"]
        return Evaluation(result, version)
