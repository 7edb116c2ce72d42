"""The life of a dynamic key: made narrow, replaced in good time, deleted when nobody has it any more."""

from __future__ import annotations

import asyncio

import pytest

from broker.adapters.ephemeral_keys.dynamic import DynamicKey
from broker.errors import BrokerError
from tests.dynamic_keys.fakes import GRACE, LIFE, OURS, PROJECT, DynamicSetup
from tests.ephemeral_keys.network import Fault

_ACCOUNTS = f"/v1/organization/projects/{PROJECT}/service_accounts"


async def test_a_key_is_made_for_one_project_and_scopes_and_has_an_end(rig: DynamicSetup) -> None:
    lease = await rig.source.lease("chat")
    (account,) = rig.ours
    (key,) = rig.live
    assert account.project == PROJECT
    assert account.name.startswith(f"{OURS}chat-")
    assert key.scopes == {"model.request"}
    assert key.expires_at == rig.clock.now() + LIFE
    assert lease.secret.reveal() == key.value
    assert lease.key_ref == "dynamic:chat"


async def test_no_key_ever_has_more_than_its_scopes_or_no_end(rig: DynamicSetup) -> None:
    """Not even for the moment between two requests."""
    await rig.key()
    made = [event for event in rig.organization.events if event.what == "key_created"]
    assert [event.expires_at for event in made] == [rig.clock.now() + LIFE]
    assert [path.removeprefix("POST " + _ACCOUNTS) for path in rig.wire.heard if "POST" in path] == [
        "",
        f"/{rig.ours[0].id}",
        f"/{rig.ours[0].id}/api_keys",
    ]


async def test_a_key_is_replaced_at_two_thirds_and_deleted_after_the_grace(rig: DynamicSetup) -> None:
    first = await rig.source.lease("chat")
    await rig.clock.advance(LIFE * 2 / 3 - 1)
    assert (await rig.source.lease("chat")).secret is first.secret
    await rig.clock.advance(2)
    second = await rig.source.lease("chat")
    assert second.secret.reveal() != first.secret.reveal()
    assert second.key_version > first.key_version
    await rig.clock.advance(GRACE - 5)
    assert rig.opens(first.secret.reveal())
    await rig.clock.advance(10)
    assert not rig.opens(first.secret.reveal())
    assert [key.value for key in rig.live] == [second.secret.reveal()]
    assert len(rig.ours) == 1


async def test_a_day_of_renewals_leaves_one_live_key_or_two(rig: DynamicSetup) -> None:
    seen = set()
    for _ in range(24 * 12):
        await rig.clock.advance(300)
        key = await rig.key()
        assert rig.opens(key)
        assert 1 <= len(rig.ours) <= 2
        seen.add(key)
    assert len(seen) == 1 + 24 * 3600 // (LIFE * 2 // 3)


async def test_each_team_has_keys_of_its_own() -> None:
    rig = DynamicSetup({"chat": DynamicKey(PROJECT), "other": DynamicKey("proj_other", ("api.model.read",))})
    await rig.source.start()
    chat, other = await rig.key("chat"), await rig.key("other")
    assert chat != other
    assert {(account.project, account.name.split("-")[2]) for account in rig.ours} == {
        (PROJECT, "chat"),
        ("proj_other", "other"),
    }
    await rig.source.aclose()
    assert rig.ours == []


async def test_concurrent_first_calls_make_one_key(rig: DynamicSetup) -> None:
    leases = await asyncio.gather(*(rig.source.lease("chat") for _ in range(50)))
    assert len({lease.secret.reveal() for lease in leases}) == 1
    assert len(rig.ours) == 1


async def test_a_revoked_key_is_dead_at_once_and_the_next_call_gets_another(rig: DynamicSetup) -> None:
    before = await rig.key()
    await rig.clock.advance(LIFE * 2 / 3 + 1)  # the first one is in its grace
    now = await rig.key()
    rig.source.revoke("chat")
    after = await rig.key()
    await rig.clock.advance(0)
    assert after not in {before, now}
    assert [rig.opens(key) for key in (before, now, after)] == [False, False, True]


async def test_a_key_that_was_revoked_before_it_came_is_never_used(rig: DynamicSetup) -> None:
    asked = asyncio.ensure_future(rig.source.lease("chat"))
    for _ in range(100):
        if rig.wire.heard:
            break
        await asyncio.sleep(0)
    rig.source.revoke("chat")
    lease = await asked
    await rig.clock.advance(0)
    assert [key.value for key in rig.live] == [lease.secret.reveal()]
    made = [event for event in rig.organization.events if event.what == "account_created"]
    assert len(made) == 2


async def test_a_closed_broker_leaves_nothing_behind(rig: DynamicSetup) -> None:
    await rig.key()
    await rig.clock.advance(LIFE * 2 / 3 + 1)
    assert len(rig.ours) == 2
    await rig.source.aclose()
    assert rig.ours == []
    await rig.refused()
    await rig.clock.advance(10)
    assert rig.ours == []


async def test_a_broker_closed_while_it_asks_leaves_nothing_behind(rig: DynamicSetup) -> None:
    for turns in range(12):
        await rig.source.aclose()
        rig.source = rig.another()
        await rig.source.start()
        for _ in range(turns):
            await asyncio.sleep(0)
    await rig.source.aclose()
    assert rig.ours == []


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_what_a_failed_step_leaves_is_swept_and_never_opens_anything(step: int, fault: Fault) -> None:
    rig = DynamicSetup()
    rig.wire.faults = [Fault.NONE] * step + [fault]
    deleting = asyncio.ensure_future(rig.source._accounts.run())  # without the sweep of a start
    with pytest.raises(BrokerError, match="OpenAI"):
        await rig.source.lease("chat")
    await rig.clock.advance(30)
    assert [key.value for key in rig.live] == [await rig.key()]
    assert len(rig.ours) == 1
    deleting.cancel()
    await rig.source.aclose()
    assert rig.ours == []
