"""Whatever happens, and in whatever order: no key of ours outlives us, and nobody else's is touched."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.ephemeral_keys.dynamic import DynamicKey
from broker.errors import BrokerError
from tests.dynamic_keys.fakes import GRACE, LIFE, PROJECT, DynamicSetup
from tests.ephemeral_keys.network import Fault
from tests.sizes import sized

KEYS = {"chat": DynamicKey(PROJECT, ("model.request",), LIFE, GRACE), "other": DynamicKey("proj_other")}
LONGEST_SWEEP = 120.0


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    what: str
    credential: str = "chat"
    seconds: float = 0.0
    fault: Fault = Fault.NONE


credentials = st.sampled_from(sorted(KEYS))
steps = st.one_of(
    st.builds(Step, st.just("lease"), credentials),
    st.builds(Step, st.just("revoke"), credentials),
    st.builds(Step, st.just("crash")),
    st.builds(Step, st.just("restart")),
    st.builds(Step, st.just("pass"), seconds=st.sampled_from([0.0, 1.0, 10.0, 599.0, 700.0, 2401.0, 3700.0])),
    st.builds(Step, st.just("weather"), fault=st.sampled_from(list(Fault))),
    st.builds(Step, st.just("mishap"), fault=st.sampled_from(list(Fault))),
)


class History:
    """A rig that things happen to; whatever it leases opens the API at that moment."""

    def __init__(self) -> None:
        self.rig = DynamicSetup(KEYS)
        self.person = self.rig.organization.add_account(PROJECT, "a person's", "owner")

    async def happen(self, step: Step) -> None:
        rig = self.rig
        if step.what == "lease":
            await self._lease(step.credential)
        elif step.what == "revoke":
            rig.source.revoke(step.credential)
        elif step.what == "crash":
            await self._crash()
        elif step.what == "restart":
            await rig.source.aclose()
            rig.source = rig.another()
            await rig.source.start()
        elif step.what == "pass":
            await rig.clock.advance(step.seconds)
        elif step.what == "weather":
            rig.wire.fault = step.fault
        else:
            rig.wire.faults.append(step.fault)

    async def end(self) -> None:
        """The sky clears, another broker of this instance starts and ends."""
        rig = self.rig
        rig.wire.fault, rig.wire.faults = Fault.NONE, []
        await rig.clock.advance(LONGEST_SWEEP)
        assert len(rig.ours) <= 2 * len(KEYS)  # each credential's present key, and one in its grace
        await rig.source.aclose()
        assert rig.ours == []
        rig.source = rig.another()
        await rig.source.start()
        await rig.clock.advance(1)
        assert {key.value for key in rig.live} == {await rig.key(name) for name in KEYS}
        await rig.source.aclose()

    async def _lease(self, credential: str) -> None:
        asked = asyncio.ensure_future(self.rig.source.lease(credential))
        await self.rig.clock.advance(0)
        try:
            lease = await asked
        except BrokerError:
            return
        assert self.rig.opens(lease.secret.reveal())

    async def _crash(self) -> None:
        """The process is gone between two turns of its loop; another one starts."""
        rig = self.rig
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        rig.source = rig.another()
        await rig.source.start()


async def live_through(happenings: list[Step]) -> None:
    history = History()
    await history.rig.source.start()
    for step in happenings:
        await history.happen(step)
    await history.end()
    assert history.rig.ours == []
    assert list(history.rig.organization.accounts.values()) == [history.person]


@settings(max_examples=sized(20, 600))
@given(st.lists(steps, max_size=12))
def test_at_the_end_no_key_of_ours_lives(happenings: list[Step]) -> None:
    asyncio.run(live_through(happenings))
