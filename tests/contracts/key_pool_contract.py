"""What every KeyPool must do, whether a credential stands for one key or for several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import pytest
import structlog

from broker.errors import BrokerError, Kind
from broker.model.pool import ANYWHERE, Payer, Placement, SpentMoney
from broker.model.record import Record
from broker.model.secret import Lease
from broker.ports import KeyPool
from tests.contracts.port_contract import PortContract

MODEL = "gpt-4o"
CODE = "invalid_api_key"
SPENT = SpentMoney("project_spend_limit_exceeded", Payer.PROJECT)
EU, NOWHERE = Placement(None, "eu"), Placement(None, "jp")


class KeyPoolSetup(Protocol):
    """A pool under test: `openai` stands for the keys `a` and `b`, of which `b` is of the region `eu`; `lone`
    for one key of that name.
    """

    @property
    def keys(self) -> KeyPool: ...

    def later(self, seconds: float) -> None:
        """Time passes, as far as the pool can tell."""

    def rotate(self, key: str) -> None:
        """The key has another version from now on."""

    def withhold(self, *keys: str) -> None:
        """The store does not give these any more."""

    async def recorded(self) -> Sequence[Record]:
        """What was told to the ledger."""


async def _lease(rig: KeyPoolSetup, placement: Placement = ANYWHERE, model: str | None = MODEL) -> Lease:
    return await rig.keys.lease("openai", placement, model)


async def _leased(rig: KeyPoolSetup, model: str | None = MODEL) -> dict[str, Lease]:
    """The keys that calls get now."""
    return {one.key_ref: one for one in [await _lease(rig, model=model) for _ in range(8)]}


async def _refused(
    rig: KeyPoolSetup, kind: Kind, placement: Placement = ANYWHERE, credential: str = "openai"
) -> BrokerError:
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await rig.keys.lease(credential, placement, MODEL)
    assert time.monotonic() - began < 0.5, "it waited"
    assert caught.value.kind is kind
    assert caught.value.remedy
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0
    return caught.value


class KeyPoolContract(PortContract):
    """Needs a fixture `rig`: KeyPoolSetup."""

    port = KeyPool

    async def test_it_is_the_adapter_that_is_named(self, rig: KeyPoolSetup) -> None:
        self.under_test(rig.keys)

    async def test_a_credential_leases_one_of_its_keys_and_one_without_a_pool_its_own(
        self, rig: KeyPoolSetup
    ) -> None:
        both = await _leased(rig)
        lone = await rig.keys.lease("lone", ANYWHERE, MODEL)
        assert len(both) == 2
        assert len({lease.secret.reveal() for lease in (*both.values(), lone)}) == 3
        assert lone.is_only_key

    async def test_many_at_once_each_get_a_key(self, rig: KeyPoolSetup) -> None:
        leases = await asyncio.gather(*(_lease(rig) for _ in range(50)))
        assert {lease.key_ref for lease in leases} == {*await _leased(rig)}

    async def test_a_key_in_cooldown_gets_no_call_for_its_model_and_comes_back(
        self, rig: KeyPoolSetup
    ) -> None:
        resting = await _lease(rig)
        rig.keys.cool_down(resting, MODEL, 2.0)
        assert resting.key_ref not in await _leased(rig)
        assert resting.key_ref in await _leased(rig, "gpt-4o-mini")
        rig.later(2.01)
        assert resting.key_ref in await _leased(rig)

    async def test_where_all_keys_are_in_cooldown_it_is_told_when_the_first_is_back(
        self, rig: KeyPoolSetup
    ) -> None:
        for seconds in (7.0, 3.0):
            rig.keys.cool_down(await _lease(rig), MODEL, seconds)
        rig.later(1)
        assert (await _refused(rig, Kind.UPSTREAM_RATE_LIMITED)).retry_after == 2.0

    async def test_where_all_keys_that_fit_are_in_cooldown_no_other_is_leased(
        self, rig: KeyPoolSetup
    ) -> None:
        rig.keys.cool_down(await _lease(rig, EU), MODEL, 3.0)
        await _refused(rig, Kind.UPSTREAM_RATE_LIMITED, EU)

    async def test_a_key_whose_money_is_used_up_gets_no_call_of_any_model_for_a_minute(
        self, rig: KeyPoolSetup
    ) -> None:
        spent = await _lease(rig)
        rig.keys.unfund(spent, SPENT)
        for model in (MODEL, "gpt-4o-mini", None):
            assert spent.key_ref not in await _leased(rig, model)
        rig.later(60.1)
        assert spent.key_ref in await _leased(rig)

    async def test_where_the_others_come_back_from_a_cooldown_no_key_without_money_is_leased(
        self, rig: KeyPoolSetup
    ) -> None:
        rig.keys.unfund(await _lease(rig), SPENT)
        rig.keys.cool_down(await _lease(rig), MODEL, 3.0)
        assert (await _refused(rig, Kind.UPSTREAM_RATE_LIMITED)).retry_after == 3.0

    async def test_where_no_key_has_money_upstream_is_asked_all_the_same(self, rig: KeyPoolSetup) -> None:
        for _ in range(2):
            rig.keys.unfund(await _lease(rig), SPENT)
        assert len(await _leased(rig)) == 2
        lone = await rig.keys.lease("lone", ANYWHERE, MODEL)
        rig.keys.unfund(lone, SPENT)
        assert (await rig.keys.lease("lone", ANYWHERE, MODEL)).key_ref == lone.key_ref

    async def test_a_rotated_key_is_not_known_to_be_without_money(self, rig: KeyPoolSetup) -> None:
        old = await _lease(rig)
        other = next(ref for ref in await _leased(rig) if ref != old.key_ref)
        rig.keys.quarantine("openai", old, CODE)
        rig.rotate(old.member or "")
        await rig.recorded()
        rig.keys.unfund(old, SPENT)
        assert {*await _leased(rig)} == {old.key_ref, other}

    async def test_that_money_is_used_up_is_told_once_a_minute(self, rig: KeyPoolSetup) -> None:
        lease = await _lease(rig)
        with structlog.testing.capture_logs() as said:
            for _ in range(5):
                rig.keys.unfund(lease, SPENT)
            rig.later(60.1)
            rig.keys.unfund(lease, SPENT)
        assert [line["event"] for line in said] == ["key_out_of_money"] * 2
        assert {line["upstream_code"] for line in said} == {SPENT.code}
        assert lease.secret.reveal() not in str(said)

    async def test_where_none_fits_the_placement_it_is_refused(self, rig: KeyPoolSetup) -> None:
        await _refused(rig, Kind.CREDENTIAL_STORE_UNAVAILABLE, NOWHERE)
        await _refused(rig, Kind.CREDENTIAL_STORE_UNAVAILABLE, EU, "lone")
        assert (await _lease(rig, EU)).region == "eu"

    async def test_where_none_is_left_it_is_refused(self, rig: KeyPoolSetup) -> None:
        for lease in (await _leased(rig)).values():
            rig.keys.quarantine("openai", lease, CODE)
        await _refused(rig, Kind.CREDENTIAL_STORE_UNAVAILABLE)

    async def test_where_the_store_gives_none_it_is_refused(self, rig: KeyPoolSetup) -> None:
        rig.withhold("a", "b", "lone")
        await _refused(rig, Kind.CREDENTIAL_STORE_UNAVAILABLE)
        await _refused(rig, Kind.CREDENTIAL_STORE_UNAVAILABLE, credential="lone")

    async def test_where_the_store_gives_one_calls_get_that(self, rig: KeyPoolSetup) -> None:
        rig.withhold("a")
        assert len(await _leased(rig)) == 1

    @pytest.mark.parametrize("credential", ["openai", "lone"])
    async def test_a_key_that_upstream_refused_is_told_to_the_log_and_the_ledger_once(
        self, rig: KeyPoolSetup, credential: str
    ) -> None:
        refused = await rig.keys.lease(credential, ANYWHERE, MODEL)
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                rig.keys.quarantine(credential, refused, CODE)
            told = await rig.recorded()
        assert [(record.key_ref, record.key_version) for record in told] == [
            (refused.key_ref, refused.key_version)
        ]
        assert [line["log_level"] for line in lines] == ["error"]
        assert refused.secret.reveal() not in repr(lines) + repr(told)

    async def test_no_call_gets_the_version_that_upstream_refused_and_calls_get_the_next(
        self, rig: KeyPoolSetup
    ) -> None:
        for lease in (await _leased(rig)).values():
            rig.keys.quarantine("openai", lease, CODE)
        rig.rotate("b")
        await rig.recorded()
        [(_, fresh)] = (await _leased(rig)).items()
        assert fresh.key_version == 2

    async def test_of_a_version_that_is_no_longer_current_neither_means_anything(
        self, rig: KeyPoolSetup
    ) -> None:
        old = await _leased(rig)
        rig.rotate("a")
        rig.rotate("b")
        new = await _leased(rig)
        assert {lease.key_version for lease in new.values()} == {2}
        for lease in old.values():
            rig.keys.cool_down(lease, MODEL, 60)
            rig.keys.quarantine("openai", lease, CODE)
        assert (await _leased(rig)).keys() == new.keys()

    async def test_a_401_and_a_429_are_told_at_once_whatever_they_say(self, rig: KeyPoolSetup) -> None:
        pooled, lone = await _lease(rig), await rig.keys.lease("lone", ANYWHERE, MODEL)
        began = time.monotonic()
        for lease, credential in ((pooled, "openai"), (lone, "lone"), (pooled, "nobody")):
            for seconds in (None, 0.0, -1.0, 1e12):
                rig.keys.cool_down(lease, MODEL, seconds)
                rig.keys.cool_down(lease, None, seconds)
            rig.keys.quarantine(credential, lease, "")
        assert time.monotonic() - began < 0.5
