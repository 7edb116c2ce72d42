"""A broker in front of an upstream that says just what a test tells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.upstreams import ScriptedUpstream, scripted_upstream
from tests.running import RunningBroker, start_broker


@dataclass(frozen=True)
class Staged:
    """A broker and the upstream it was started with."""

    broker: RunningBroker
    upstream: ScriptedUpstream


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """Shared: a test sets `upstream.answer(…)` before it calls."""
    with scripted_upstream() as upstream:
        running = start_broker(tmp_path_factory.mktemp("staged") / "b", "--upstream", upstream.url)
        try:
            yield Staged(running, upstream)
        finally:
            running.stop()
