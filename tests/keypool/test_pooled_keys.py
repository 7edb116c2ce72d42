"""A pool as the pipeline sees it: shares, cooldown, quarantine, placement, and what is told of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import structlog

from broker.adapters.keypool.key_health import DEFAULT_COOLDOWN_SECONDS
from broker.errors import BrokerError, Kind
from broker.model.pool import ANYWHERE, Member, Placement, PoolStats
from broker.model.secret import Lease
from tests.keypool.fakes import PoolSetup

MODEL = "gpt-4o"
CODE = "invalid_api_key"


@pytest.fixture
async def rig() -> AsyncIterator[PoolSetup]:
    rig = PoolSetup(Member("a", weight=3), Member("b"))
    yield rig
    await rig.keys.aclose()


async def lease(rig: PoolSetup, placement: Placement = ANYWHERE, model: str | None = MODEL) -> Lease:
    return await rig.keys.lease("openai", placement, model)


async def refused(rig: PoolSetup, placement: Placement = ANYWHERE, credential: str = "openai") -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await rig.keys.lease(credential, placement, MODEL)
    assert caught.value.remedy
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0
    return caught.value


async def test_keys_are_leased_as_their_weights_say(rig: PoolSetup) -> None:
    seen = Counter([(await lease(rig)).key_ref for _ in range(40)])
    assert seen == {"memory:a": 30, "memory:b": 10}


async def test_a_lease_carries_what_its_member_is_configured_with() -> None:
    rig = PoolSetup(Member("a", organization="org-1", project="proj_1", team="claims", region="eu"))
    got = await lease(rig, Placement("claims", "eu"))
    assert (got.organization, got.project, got.region, got.member, got.is_only_key) == (
        "org-1",
        "proj_1",
        "eu",
        "a",
        True,
    )
    assert got.secret.reveal() == "sk-a-1"


async def test_a_credential_without_a_pool_is_the_vaults_own_lease(rig: PoolSetup) -> None:
    got = await rig.keys.lease("lone", ANYWHERE, MODEL)
    assert (got.key_ref, got.member, got.is_only_key) == ("memory:lone", None, True)
    rig.keys.cool_down(got, MODEL, 60)
    rig.keys.quarantine("openai", got, CODE)
    assert (await rig.keys.lease("lone", ANYWHERE, MODEL)).key_version == 1
    await rig.settle()
    assert [(r.reason, r.key_ref, r.key_version) for r in rig.ledger.records] == [
        ("key_refused", "memory:lone", 1)
    ]


async def test_a_lone_key_that_is_refused_again_and_again_is_told_of_once_a_version(rig: PoolSetup) -> None:
    for version in (1, 1, 2, 2):
        rig.source.versions["lone"] = version
        rig.keys.quarantine("openai", await rig.keys.lease("lone", ANYWHERE, MODEL), CODE)
    await rig.settle()
    assert [record.key_version for record in rig.ledger.records] == [1, 2]


async def test_a_limited_key_rests_for_its_time_and_for_its_model_only(rig: PoolSetup) -> None:
    while (got := await lease(rig)).member != "a":
        pass
    rig.keys.cool_down(got, MODEL, 2.0)
    assert {(await lease(rig)).member for _ in range(8)} == {"b"}
    assert {(await lease(rig, model="gpt-4o-mini")).member for _ in range(8)} == {"a", "b"}
    rig.later(1.99)
    assert {(await lease(rig)).member for _ in range(8)} == {"b"}
    rig.later(0.02)
    assert {(await lease(rig)).member for _ in range(8)} == {"a", "b"}


async def test_the_last_usable_key_is_alone(rig: PoolSetup) -> None:
    first = await lease(rig)
    assert first.is_only_key is False
    rig.keys.cool_down(first, MODEL, 2.0)
    assert (await lease(rig)).is_only_key is True


async def test_where_all_rest_the_caller_learns_when_the_first_is_back(rig: PoolSetup) -> None:
    for seconds in (7.0, 3.0):
        rig.keys.cool_down(await lease(rig), MODEL, seconds)
    rig.later(1)
    error = await refused(rig)
    assert (error.kind, error.retry_after) == (Kind.UPSTREAM_RATE_LIMITED, 2.0)


async def test_a_429_that_says_nothing_or_now_still_sends_the_call_elsewhere(rig: PoolSetup) -> None:
    rig.keys.cool_down(await lease(rig), MODEL, None)
    rig.later(DEFAULT_COOLDOWN_SECONDS - 0.01)
    rig.keys.cool_down(await lease(rig), MODEL, 0.0)
    assert (await refused(rig)).kind is Kind.UPSTREAM_RATE_LIMITED
    rig.later(0.11)
    assert {(await lease(rig)).member for _ in range(8)} == {"a", "b"}


async def test_a_refused_key_is_quarantined_and_told_of_without_itself(rig: PoolSetup) -> None:
    first = await lease(rig)
    with structlog.testing.capture_logs() as lines:
        rig.keys.quarantine("openai", first, CODE)
        rig.keys.quarantine("openai", first, CODE)
    assert {(await lease(rig)).member for _ in range(8)} == {"a", "b"} - {first.member}
    await rig.settle()
    assert [line["event"] for line in lines] == ["key_quarantined"]
    assert (lines[0]["key_ref"], lines[0]["key_version"], lines[0]["log_level"]) == ("memory:a", 1, "error")
    assert "broker keys rotate a" in lines[0]["remedy"]
    assert first.secret.reveal() not in repr(lines) + repr(rig.ledger.records)
    record = rig.ledger.records[0]
    assert (record.type.value, record.reason, record.key_ref) == ("config", "quarantined", "memory:a")
    assert rig.keys.stats() == (PoolStats("openai", 1, 0, 1),)
    assert rig.keys.problem() == ""


async def test_where_all_are_quarantined_the_call_is_refused_and_the_pool_is_named(rig: PoolSetup) -> None:
    for _ in range(2):
        rig.keys.quarantine("openai", await lease(rig), CODE)
    assert (await refused(rig)).kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert rig.keys.problem() == "every key is quarantined: openai"
    assert rig.keys.stats() == (PoolStats("openai", 0, 0, 2),)


async def test_a_rotated_key_is_released(rig: PoolSetup) -> None:
    for _ in range(2):
        rig.keys.quarantine("openai", await lease(rig), CODE)
    rig.source.versions["b"] = 2
    await rig.settle()
    got = await lease(rig)
    assert (got.member, got.key_version, got.is_only_key) == ("b", 2, True)
    assert [(r.reason, r.key_ref, r.key_version) for r in rig.ledger.records] == [
        ("quarantined", "memory:a", 1),
        ("quarantined", "memory:b", 1),
        ("released", "memory:b", 2),
    ]


async def test_a_late_401_or_429_of_an_old_version_does_not_touch_the_new_one(rig: PoolSetup) -> None:
    old = [await lease(rig) for _ in range(4)]
    rig.source.versions.update(a=2, b=2)
    for _ in range(4):
        await lease(rig)
    for each in old:
        rig.keys.quarantine("openai", each, CODE)
        rig.keys.cool_down(each, MODEL, 60)
    assert rig.keys.stats() == (PoolStats("openai", 2, 0, 0),)


async def test_a_late_401_does_not_quarantine_the_version_that_has_just_been_released(rig: PoolSetup) -> None:
    old = await lease(rig)
    rig.keys.quarantine("openai", old, CODE)
    rig.source.versions["a"] = 2
    await rig.settle()
    rig.keys.quarantine("openai", old, CODE)
    assert rig.keys.stats() == (PoolStats("openai", 2, 0, 0),)


async def test_a_key_that_the_vault_does_not_give_is_passed_over_for_a_while(rig: PoolSetup) -> None:
    rig.source.away.add("a")
    assert {(await lease(rig)).member for _ in range(8)} == {"b"}
    assert rig.source.asked.count("a") == 1
    rig.source.away.clear()
    rig.later(1.1)
    assert {(await lease(rig)).member for _ in range(8)} == {"a", "b"}


async def test_a_vault_that_gives_nothing_refuses_with_its_own_words(rig: PoolSetup) -> None:
    rig.source.away.update("ab")
    error = await refused(rig)
    assert (error.kind, error.message) == (Kind.CREDENTIAL_STORE_UNAVAILABLE, "no a")


async def test_a_vault_in_trouble_is_not_asked_for_every_key_in_turn(rig: PoolSetup) -> None:
    """Each would take as long to be refused: the call would wait for their sum."""
    rig.source.away.update("ab")
    rig.source.answers_after = lambda: rig.later(2.0)
    error = await refused(rig)
    assert (error.message, rig.source.asked) == ("no a", ["a", "b"])


async def test_a_slow_vault_costs_no_call_while_it_holds_another_key(rig: PoolSetup) -> None:
    rig.source.away.add("a")
    rig.source.answers_after = lambda: rig.later(2.0 if rig.source.asked[-1] == "a" else 0.0)
    assert (await lease(rig)).member == "b"


async def test_a_vault_that_hangs_is_not_waited_for_a_second_time() -> None:
    rig = PoolSetup(*(Member(name) for name in "abcd"))
    rig.source.away.add("a")
    rig.source.hanging.update("bcd")
    began = time.monotonic()
    rig.source.answers_after = lambda: rig.later(1.99 if rig.source.asked[-1] == "a" else 0.08)
    assert (await refused(rig)).message == "no a"
    assert rig.source.asked == ["a", "b"]
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    ("placement", "served"),
    [
        (Placement("claims"), {"claims-eu", "claims-us"}),
        (Placement("claims", "eu"), {"claims-eu"}),
        (Placement(None, "eu"), {"shared-eu"}),
        (ANYWHERE, {"shared-eu"}),
    ],
)
async def test_a_placed_call_gets_the_keys_of_its_place_alone(placement: Placement, served: set[str]) -> None:
    rig = PoolSetup(
        Member("claims-eu", team="claims", region="eu"),
        Member("claims-us", team="claims", region="us"),
        Member("shared-eu", region="eu"),
    )
    assert {(await lease(rig, placement)).member for _ in range(12)} == served


async def test_a_call_pinned_to_a_region_is_refused_rather_than_served_elsewhere() -> None:
    rig = PoolSetup(Member("eu", region="eu"), Member("us", region="us"))
    eu = Placement(None, "eu")
    rig.keys.quarantine("openai", await lease(rig, eu), CODE)
    assert (await refused(rig, eu)).kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    error = await refused(rig, Placement(None, "jp"))
    assert "region 'jp'" in error.message
    assert (await lease(rig)).member == "us"
    await rig.keys.aclose()


async def test_a_key_without_labels_serves_no_placed_call(rig: PoolSetup) -> None:
    error = await refused(rig, Placement("claims"), "lone")
    assert "[pools.lone]" in error.remedy


async def test_names_that_a_policy_makes_up_do_not_fill_the_memory(rig: PoolSetup) -> None:
    for number in range(500):
        await refused(rig, Placement(f"team-{number}"))
    assert not rig.keys._schedulers["openai"]._rounds


async def test_models_that_callers_make_up_do_not_fill_the_memory(rig: PoolSetup) -> None:
    for number in range(2000):
        rig.keys.cool_down(await lease(rig, model=f"model-{number}"), f"model-{number}", 60)
    assert all(len(health._cooling) <= 256 for health in rig.keys._healths.values())


async def test_a_key_in_two_pools_is_quarantined_in_both() -> None:
    rig = PoolSetup(Member("a"), Member("a", team="claims"))
    rig.keys.quarantine("openai", await lease(rig), CODE)
    await refused(rig, Placement("claims"))
    await rig.keys.aclose()


async def test_what_is_to_be_recorded_is_recorded_before_the_end(rig: PoolSetup) -> None:
    rig.keys.quarantine("openai", await lease(rig), CODE)
    await rig.keys.aclose()
    assert [record.reason for record in rig.ledger.records] == ["quarantined"]


async def test_a_ledger_that_is_lost_does_not_keep_a_refused_key_in_use(rig: PoolSetup) -> None:
    rig.ledger.lost = True
    first = await lease(rig)
    rig.keys.quarantine("openai", first, CODE)
    await rig.settle()
    assert {(await lease(rig)).member for _ in range(8)} == {"a", "b"} - {first.member}


async def test_a_refused_key_is_made_anew_where_it_can_be_and_not_for_every_call(rig: PoolSetup) -> None:
    first = await lease(rig)
    rig.keys.quarantine("openai", first, CODE)
    lone = await rig.keys.lease("lone", ANYWHERE, MODEL)
    rig.keys.quarantine("lone", lone, CODE)
    assert rig.replaced == [first.member, "lone"]
    rig.source.versions["lone"] = 2  # the new one is refused, too
    rig.keys.quarantine("lone", await rig.keys.lease("lone", ANYWHERE, MODEL), CODE)
    assert rig.replaced == [first.member, "lone"]
    rig.later(61)
    rig.source.versions["lone"] = 3
    rig.keys.quarantine("lone", await rig.keys.lease("lone", ANYWHERE, MODEL), CODE)
    assert rig.replaced == [first.member, "lone", "lone"]
