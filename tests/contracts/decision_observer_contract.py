"""What every DecisionObserver must do: see all decisions, at once, whatever happens to it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from broker.model.decision import CallDecision, Content, PolicyVersion
from broker.ports import DecisionObserver, Observation
from tests.contracts.port_contract import PortContract
from tests.replay.support import ALICE, question

MANY = 3000
_LIVE = PolicyVersion("live", "1" * 64)


class ObserverSetup(Protocol):
    """An observer under test."""

    @property
    def observer(self) -> DecisionObserver: ...

    async def seen(self, number: int) -> list[str]:
        """The calls that were observed so far, once there are so many."""

    def hang(self) -> None:
        """What the observer asks about a decision does not answer any more."""

    def break_down(self) -> None:
        """All that it needs fails from now on."""


def observation(call_id: str) -> Observation:
    """A decision about one call."""
    decision = CallDecision(True, "granted", "", _LIVE, Content())
    return Observation(call_id, "user", ALICE, "demo", "chat", "gpt-4o", question(ALICE, "gpt-4o"), decision)


class DecisionObserverContract(PortContract):
    """Needs a fixture `rig`: ObserverSetup."""

    port = DecisionObserver

    async def test_it_is_the_adapter_that_is_named(self, rig: ObserverSetup) -> None:
        self.under_test(rig.observer)

    async def test_it_sees_every_decision_in_its_order(self, rig: ObserverSetup) -> None:
        for number in range(50):
            rig.observer.observe(observation(f"c{number}"))
        assert await rig.seen(50) == [f"c{number}" for number in range(50)]

    async def test_it_returns_at_once_and_keeps_nothing_waiting_where_it_hangs(
        self, rig: ObserverSetup
    ) -> None:
        rig.hang()
        began = time.monotonic()
        for number in range(MANY):
            rig.observer.observe(observation(f"c{number}"))
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 1

    async def test_it_never_raises(self, rig: ObserverSetup) -> None:
        rig.break_down()
        for number in range(MANY):
            rig.observer.observe(observation(f"c{number}"))
            if number % 500 == 0:
                await asyncio.sleep(0.01)
