"""The OpenAI API, simulated, behind the port: the contract of an Upstream."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy, UpstreamOrigin
from broker.simulator import Simulator
from tests.contracts.upstream_contract import UpstreamContract
from tests.openai.client import Clock


class DrawingClock(Clock):
    """Draws, always the same."""

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(1)  # noqa: S311 - no secret

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)


class OpenAISetup:
    """Implements UpstreamSetup."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._clock = DrawingClock()
        self._opened: list[OpenAIUpstream] = []
        self.upstream = self._at(simulator.url)

    @property
    def slept(self) -> list[float]:
        return self._clock.slept

    async def at(self, url: str) -> OpenAIUpstream:
        return self._at(url)

    def _at(self, url: str) -> OpenAIUpstream:
        origin = UpstreamOrigin.at(f"{url}/v1", 32, Deadlines(connect=1.0))
        made = OpenAIUpstream(origin, {}, self._clock, RetryPolicy())
        self._opened.append(made)
        return made

    async def aclose(self) -> None:
        for upstream in self._opened:
            await upstream.aclose()


@pytest.fixture
async def rig() -> AsyncIterator[OpenAISetup]:
    async with Simulator() as simulator:
        setup = OpenAISetup(simulator)
        yield setup
        await setup.aclose()


class TestOpenAI(UpstreamContract):
    """The contract."""

    adapter = OpenAIUpstream
