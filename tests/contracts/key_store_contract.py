"""What every KeyStore must do: an operator's words of the keys, durable, and never with a key in an error."""

from __future__ import annotations

from typing import Protocol

import pytest

from broker.errors import BrokerError, Kind
from broker.model.credential import KeyState
from broker.ports import KeyStore
from tests.contracts.port_contract import PortContract
from tests.frames import shown

FIRST = "sk-contract-first-0000"
SECOND = "sk-contract-second-0000"


class KeysSetup(Protocol):
    """A store under test that holds nothing under `openai` and `other`, and no other credential."""

    @property
    def keys(self) -> KeyStore: ...

    def another(self) -> KeyStore:
        """Another process's view of the same store."""

    async def leased(self, credential: str) -> tuple[str, int]:
        """The key that calls that begin a second later get, and its version. Raises BrokerError."""

    def lock(self) -> None:
        """Makes the store unusable."""


def _refused(error: BrokerError) -> None:
    assert error.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert error.remedy
    assert not [key for key in (FIRST, SECOND) if key in str(error) + repr(error)]


class KeyStoreContract(PortContract):
    """Needs a fixture `rig`: KeysSetup."""

    port = KeyStore

    async def test_it_is_the_adapter_that_is_named(self, rig: KeysSetup) -> None:
        self.under_test(rig.keys)

    async def test_names_are_sorted_and_none_at_first(self, rig: KeysSetup) -> None:
        assert rig.keys.names() == ()
        for name in ("other", "openai"):
            rig.keys.put(name, FIRST)
        assert rig.keys.names() == rig.another().names() == ("openai", "other")

    async def test_versions_are_told_oldest_first(self, rig: KeysSetup) -> None:
        rig.keys.put("openai", FIRST)
        rig.keys.put("openai", SECOND)
        found = rig.keys.versions("openai")
        assert [(each.name, each.version, each.state) for each in found] == [
            ("openai", 1, KeyState.REPLACED),
            ("openai", 2, KeyState.CURRENT),
        ]
        assert not [key for key in (FIRST, SECOND) if key in repr(found)]

    async def test_what_is_put_is_the_next_version_and_leased_from_then_on(self, rig: KeysSetup) -> None:
        for number, key in enumerate((FIRST, SECOND), 1):
            put = rig.keys.put("openai", key)
            assert (put.name, put.version) == ("openai", number)
            assert await rig.leased("openai") == (key, number)

    async def test_a_quarantine_takes_the_newest_version_out_of_use_until_it_is_released(
        self, rig: KeysSetup
    ) -> None:
        rig.keys.put("openai", FIRST)
        rig.keys.put("openai", SECOND)
        told = rig.keys.quarantine("openai", "lost laptop")
        assert (told.version, told.state, told.reason) == (2, KeyState.QUARANTINED, "lost laptop")
        with pytest.raises(BrokerError) as caught:
            await rig.leased("openai")
        _refused(caught.value)
        assert rig.keys.release("openai").state is KeyState.CURRENT
        assert await rig.leased("openai") == (SECOND, 2)

    async def test_a_quarantine_ends_with_another_version(self, rig: KeysSetup) -> None:
        rig.keys.put("openai", FIRST)
        rig.keys.quarantine("openai", "lost laptop")
        rig.keys.put("openai", SECOND)
        assert await rig.leased("openai") == (SECOND, 2)
        assert [each.state for each in rig.keys.versions("openai")] == [
            KeyState.QUARANTINED,
            KeyState.CURRENT,
        ]

    async def test_a_release_without_a_quarantine_does_nothing(self, rig: KeysSetup) -> None:
        rig.keys.put("openai", FIRST)
        assert rig.keys.release("openai") == rig.keys.release("openai") == rig.keys.versions("openai")[0]
        assert await rig.leased("openai") == (FIRST, 1)

    async def test_what_was_done_is_durable_when_it_returns(self, rig: KeysSetup) -> None:
        rig.keys.put("openai", FIRST)
        assert [each.version for each in rig.another().versions("openai")] == [1]
        rig.keys.quarantine("openai", "lost laptop")
        assert [each.reason for each in rig.another().versions("openai")] == ["lost laptop"]
        rig.keys.release("openai")
        assert [each.state for each in rig.another().versions("openai")] == [KeyState.CURRENT]

    @pytest.mark.parametrize("word", ["versions", "quarantine", "release"])
    async def test_a_credential_that_is_not_there_is_told_with_what_to_do(
        self, rig: KeysSetup, word: str
    ) -> None:
        rig.keys.put("other", FIRST)
        more = ("lost laptop",) if word == "quarantine" else ()
        with pytest.raises(BrokerError) as caught:
            getattr(rig.keys, word)("openai", *more)
        _refused(caught.value)

    @pytest.mark.parametrize("name", ["../openai", "", "a/b", "A", "a" * 64, "a\0b", "a\n", "%2e%2e"])
    async def test_a_name_that_could_be_a_path_is_refused(self, rig: KeysSetup, name: str) -> None:
        with pytest.raises(BrokerError) as caught:
            rig.keys.put(name, FIRST)
        _refused(caught.value)

    @pytest.mark.parametrize(
        "value", ["", "short", "sk-with space-000000", "sk-newline\n0000000", "sk-é0000000000"]
    )
    async def test_what_is_no_key_is_refused_unquoted(self, rig: KeysSetup, value: str) -> None:
        with pytest.raises(BrokerError, match="visible ASCII") as caught:
            rig.keys.put("openai", value)
        assert not value or value not in str(caught.value)

    async def test_a_store_that_is_unusable_refuses_with_what_to_do_and_without_a_key(
        self, rig: KeysSetup
    ) -> None:
        rig.keys.put("openai", FIRST)
        rig.lock()
        with pytest.raises(BrokerError) as caught:
            rig.keys.put("openai", SECOND)
        _refused(caught.value)
        assert not [key for key in (FIRST,) if key in shown(caught.value)]
