"""One simulator a test, and the two clients that speak to it: the OpenAI SDK and bare httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI

from broker.simulator import Simulator

ADMIN = "sk-admin-simulated"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as running:
        yield running


@pytest.fixture
async def sdk(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=simulator.url + "/v1", api_key=simulator.key, max_retries=0) as client:
        yield client


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {simulator.key}"}
    async with httpx.AsyncClient(base_url=simulator.url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
async def admin(running: Simulator) -> AsyncIterator[AsyncOpenAI]:
    """The SDK with the admin key of the module's own simulator, `running`."""
    async with AsyncOpenAI(
        base_url=running.url + "/v1", api_key="unused", admin_api_key=ADMIN, max_retries=0
    ) as client:
        yield client
