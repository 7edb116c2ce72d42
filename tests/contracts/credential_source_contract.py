"""What every CredentialSource must do. A test module subclasses `CredentialSourceContract`, or
`KeyStoreSourceContract` where keys are stored, and says how to set keys up.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from broker.errors import BrokerError, Kind
from broker.model.credential import KeyState, KeyVersion
from broker.ports import CredentialSource
from tests.contracts.port_contract import PortContract

FIRST = "sk-contract-first-0000"
SECOND = "sk-contract-second-0000"


class RefusingSetup(Protocol):
    """A source of keys under test, which need not have any."""

    @property
    def source(self) -> CredentialSource: ...


class SourceSetup(RefusingSetup, Protocol):
    """One with what only its operator can do. It knows `openai` and `other`."""

    def store(self, credential: str, key: str) -> None:
        """Makes `key` the newest version of `credential`."""

    def lock(self) -> None:
        """Makes the source unusable: sealed, away, or without its own key."""

    async def pass_ceiling(self) -> None:
        """Lets as much time go by as no lease is held for, as far as the source can tell."""


class StoreSetup(SourceSetup, Protocol):
    """A store of keys under test."""

    def delete(self, credential: str) -> None:
        """Deletes the newest version of `credential`."""

    def quarantine(self, credential: str, reason: str) -> None:
        """Takes the newest version out of use, as `broker keys quarantine` does."""

    def release(self, credential: str) -> None:
        """Ends that, as `broker keys release` does."""

    def shown(self, credential: str) -> list[KeyVersion]:
        """What `broker keys list` shows of it."""

    async def pass_second(self) -> None:
        """Lets a second go by, as far as the store can tell."""


async def refused_lease(source: CredentialSource, credential: str) -> BrokerError:
    """The error of a key that cannot be had, as the port promises it."""
    with pytest.raises(BrokerError) as caught:
        await source.lease(credential)
    error = caught.value
    assert error.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert error.retry_after is not None
    assert error.retry_after > 0
    assert error.remedy
    return error


class RefusingSourceContract(PortContract):
    """Needs a fixture `rig`: RefusingSetup. What is true also of a source without a key."""

    port = CredentialSource

    async def test_it_is_the_adapter_that_is_named(self, rig: RefusingSetup) -> None:
        self.under_test(rig.source)

    @pytest.mark.parametrize("name", ["../openai", "", "a/b", "A", "a" * 64, "a\0b", "a\n", "%2e%2e"])
    async def test_a_name_that_could_be_a_path_is_refused(self, rig: RefusingSetup, name: str) -> None:
        await self._refused(rig, name)

    async def test_an_unknown_credential_is_refused_with_a_remedy(self, rig: RefusingSetup) -> None:
        await self._refused(rig, "nobody")

    async def _refused(self, rig: RefusingSetup, credential: str) -> BrokerError:
        return await refused_lease(rig.source, credential)


class CredentialSourceContract(RefusingSourceContract):
    """Needs a fixture `rig`: SourceSetup."""

    async def test_a_key_is_known_by_its_place_alone(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        rig.store("other", FIRST)
        ours, theirs = [await rig.source.lease(name) for name in ("openai", "other")]
        assert ours.key_ref != theirs.key_ref
        assert "openai" in ours.key_ref
        assert FIRST not in ours.key_ref

    async def test_credentials_do_not_mix(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        rig.store("other", SECOND)
        leases = [await rig.source.lease(name) for name in ("openai", "other")]
        assert [lease.secret.reveal() for lease in leases] == [FIRST, SECOND]

    async def test_a_cancelled_call_does_not_cancel_the_others(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        first, second = (asyncio.ensure_future(rig.source.lease("openai")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).secret.reveal() == FIRST

    async def test_concurrent_calls_get_the_same_key(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        leases = await asyncio.gather(*(rig.source.lease("openai") for _ in range(50)))
        assert {lease.secret.reveal() for lease in leases} == {FIRST}

    async def test_a_locked_store_is_refused_and_not_remembered(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        rig.lock()
        await self._refused(rig, "openai")
        await self._refused(rig, "openai")

    async def test_no_repr_and_no_error_shows_a_key(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        lease = await rig.source.lease("openai")
        error = await self._refused(rig, "nobody")
        for text in (repr(lease), str(lease), repr(rig.source), repr(error), str(error)):
            assert FIRST not in text

    async def test_an_unknown_credential_is_refused_beside_a_known_one(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        await self._refused(rig, "nobody")

    async def test_a_lease_never_outlives_its_ceiling(self, rig: SourceSetup) -> None:
        rig.store("openai", FIRST)
        await rig.source.lease("openai")
        rig.lock()
        await rig.pass_ceiling()
        await self._refused(rig, "openai")


class KeyStoreSourceContract(CredentialSourceContract):
    """Needs a fixture `rig`: StoreSetup."""

    async def test_a_lease_holds_the_newest_version(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.store("openai", SECOND)
        lease = await rig.source.lease("openai")
        assert (lease.secret.reveal(), lease.key_version) == (SECOND, 2)
        assert "openai" in lease.key_ref

    async def test_a_rotated_key_is_used_by_calls_a_second_later(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        before = await rig.source.lease("openai")
        rig.store("openai", SECOND)
        await rig.pass_second()
        after = await rig.source.lease("openai")
        assert (before.secret.reveal(), after.secret.reveal()) == (FIRST, SECOND)

    async def test_a_deleted_key_is_used_by_no_call_a_second_later(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        await rig.source.lease("openai")
        rig.delete("openai")
        await rig.pass_second()
        await self._refused(rig, "openai")

    async def test_a_quarantined_key_is_used_by_no_call_a_second_later(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.store("openai", SECOND)
        await rig.source.lease("openai")
        rig.quarantine("openai", "seen in a public repository")
        await rig.pass_second()
        error = await self._refused(rig, "openai")
        assert "quarantined" in error.message
        assert "seen in" not in str(error), "a caller reads the operator's reason"
        assert [(each.version, each.state, each.reason) for each in rig.shown("openai")] == [
            (1, KeyState.REPLACED, ""),
            (2, KeyState.QUARANTINED, "seen in a public repository"),
        ]

    async def test_a_quarantined_key_that_nobody_held_is_refused(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.quarantine("openai", "lost laptop")
        await self._refused(rig, "openai")

    async def test_a_quarantine_concerns_one_credential(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.store("other", SECOND)
        rig.quarantine("openai", "lost laptop")
        assert (await rig.source.lease("other")).secret.reveal() == SECOND

    async def test_a_key_stored_after_a_quarantine_is_used(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.quarantine("openai", "lost laptop")
        rig.store("openai", SECOND)
        assert (await rig.source.lease("openai")).secret.reveal() == SECOND
        assert [each.state for each in rig.shown("openai")] == [KeyState.QUARANTINED, KeyState.CURRENT]

    async def test_a_released_key_is_used_again(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.quarantine("openai", "false alarm")
        rig.release("openai")
        rig.release("openai")
        assert (await rig.source.lease("openai")).secret.reveal() == FIRST
        assert [each.state for each in rig.shown("openai")] == [KeyState.CURRENT]

    @pytest.mark.parametrize("reason", ["", "   ", "a\nb", "x" * 201, "it was sk-abc", "a" * 40])
    async def test_a_reason_that_is_none_or_may_hold_the_key_is_refused(
        self, rig: StoreSetup, reason: str
    ) -> None:
        rig.store("openai", FIRST)
        with pytest.raises(BrokerError, match="reason"):
            rig.quarantine("openai", reason)
        assert (await rig.source.lease("openai")).secret.reveal() == FIRST

    async def test_a_key_is_known_by_its_place_and_version_alone(self, rig: StoreSetup) -> None:
        rig.store("openai", FIRST)
        rig.store("other", FIRST)
        ours, theirs = [await rig.source.lease(name) for name in ("openai", "other")]
        assert ours.key_ref != theirs.key_ref
        assert ours.key_version == theirs.key_version == 1
        assert FIRST not in ours.key_ref
