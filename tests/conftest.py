"""Shared by all tests: two real `broker dev` for those that only call one, and how properties are tried."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module

import pytest
from hypothesis import HealthCheck, settings

from tests.e2e.staged import Staged
from tests.e2e.upstreams import scripted_upstream
from tests.order import turn
from tests.running import RunningBroker, start_broker
from tests.trials import SHARED, shared_trials

settings.register_profile("broker", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("broker")  # busy machines fail no property
os.environ.setdefault(
    "GOGC", "400"
)  # opa and Vault: their memory is small, and collecting it a third of their work
gc.disable()  # until all is collected: to walk again and again what that makes is half of the work
import_module("broker.listeners.grpc")  # sets grpc's TLS floor, which must happen before grpc is imported


def pytest_configure(config: pytest.Config) -> None:
    """What trials find all processes of the tests share, wherever one began it."""
    if SHARED not in os.environ:
        shared = ExitStack()
        shared.enter_context(shared_trials())
        config.add_cleanup(shared.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    items.sort(key=lambda item: turn(item.path))


def pytest_collection_finish() -> None:
    """What is there by now the collector need not walk."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker with the simulated OpenAI behind it; ended after the last test."""
    running = start_broker(tmp_path_factory.mktemp("broker"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """A broker whose upstream a test tells what to answer (`upstream.answer(…)`) before it calls."""
    with scripted_upstream() as upstream:
        running = start_broker(tmp_path_factory.mktemp("staged") / "b", "--upstream", upstream.url)
        try:
            yield Staged(running, upstream)
        finally:
            running.stop()
