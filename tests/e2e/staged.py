"""A broker in front of an upstream that says just what a test tells it; `tests/conftest.py` has one."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.upstreams import ScriptedUpstream
from tests.running import RunningBroker


@dataclass(frozen=True)
class Staged:
    """A broker and the upstream it was started with."""

    broker: RunningBroker
    upstream: ScriptedUpstream
