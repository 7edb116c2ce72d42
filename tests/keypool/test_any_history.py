"""Any history: a pool leases only what is usable and fits, and refuses only where nothing is and does."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.errors import BrokerError
from broker.model.pool import Member, Payer, Placement, SpentMoney
from broker.model.secret import Lease
from tests.keypool.fakes import PoolSetup
from tests.sizes import sized

LABELS = st.none() | st.sampled_from(["x", "y"])
MODELS = st.sampled_from(["m", "n"])
MEMBERS = (
    Member("a", weight=5),
    Member("b", team="x"),
    Member("c", region="y"),
    Member("d", weight=2, team="x", region="y"),
)
REST_SECONDS = 3


class AnyHistory(RuleBasedStateMachine):
    """The model beside the pool: who is quarantined, without money, in cooldown for which model."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.rig = PoolSetup(*MEMBERS)
        self.quarantined: set[str] = set()
        self.cooldown: dict[tuple[str, str], int] = {}
        self.unfunded: dict[str, int] = {}

    @rule(team=LABELS, region=LABELS, model=MODELS, answer=st.sampled_from([200, 401, 402, 429]))
    def call(self, team: str | None, region: str | None, model: str, answer: int) -> None:
        placement = Placement(team, region)
        able = self._able(placement, model)  # 402 stands for a 429 that tells of money
        if able:
            lease = self.runner.run(self._lease(placement, model))
            assert lease.member in able
            assert lease.is_only_key is (len(able) == 1)
            self.runner.run(self._answered(lease, model, answer))
            return
        with pytest.raises(BrokerError) as caught:
            self.runner.run(self._lease(placement, model))
        assert caught.value.remedy
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 5

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.rig.later(seconds)

    @rule(key=st.sampled_from([member.key for member in MEMBERS]))
    def rotate(self, key: str) -> None:
        self.rig.source.versions[key] += 1
        self.runner.run(self.rig.settle())
        if key in self.quarantined:
            self.quarantined.discard(key)
            self.unfunded.pop(key, None)
            self.cooldown = {place: until for place, until in self.cooldown.items() if place[0] != key}

    @invariant()
    def everybody_is_counted_once(self) -> None:
        stats = self.rig.keys.stats()[0]
        assert stats.usable + stats.cooldown + stats.quarantined + stats.unfunded == len(MEMBERS)
        assert stats.quarantined == len(self.quarantined)

    def teardown(self) -> None:
        self.runner.run(self.rig.keys.aclose())
        self.runner.close()

    def _able(self, placement: Placement, model: str) -> set[str]:
        now = self.rig.clock.ns
        served = {
            member.key
            for member in MEMBERS
            if member.team == placement.team
            and placement.region in (None, member.region)
            and member.key not in self.quarantined
        }
        funded = {key for key in served if self.unfunded.get(key, 0) <= now}
        return {key for key in funded or served if self.cooldown.get((key, model), 0) <= now}

    async def _lease(self, placement: Placement, model: str) -> Lease:
        return await self.rig.keys.lease("openai", placement, model)

    async def _answered(self, lease: Lease, model: str, answer: int) -> None:
        assert lease.member is not None
        if answer == 401:
            self.rig.keys.quarantine("openai", lease, "invalid_api_key")
            self.quarantined.add(lease.member)
        elif answer == 402:
            self.rig.keys.unfund(lease, SpentMoney("project_spend_limit_exceeded", Payer.PROJECT))
            self.unfunded[lease.member] = self.rig.clock.ns + 60 * 1_000_000_000
        elif answer == 429:
            self.rig.keys.cool_down(lease, model, REST_SECONDS)
            self.cooldown[(lease.member, model)] = self.rig.clock.ns + REST_SECONDS * 1_000_000_000


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=sized(60), stateful_step_count=40)
