"""Rotated, deleted and destroyed keys on a real Vault, under calls; and how often Vault is asked."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from broker.adapters.vault import VaultKeySource
from tests.vault.server import RealVault
from tests.vault.setups import KEY, NEXT, app_role, key_of, refused, vault_on, well_again

pytestmark = pytest.mark.servers


@pytest.fixture
async def vault(server: RealVault) -> AsyncIterator[VaultKeySource]:
    vault = vault_on(server, app_role(server, f"rotation-{uuid.uuid4().hex}"))
    await vault.start()
    yield vault
    await vault.aclose()


async def _calls(vault: VaultKeySource, seconds: float) -> list[tuple[float, int]]:
    """When each of some 200 calls a second began, and the version it got."""
    seen = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        seen.append((began, (await vault.lease("openai")).key_version))
        await asyncio.sleep(0.005)
    return seen


async def test_no_call_uses_the_old_key_a_second_after_a_rotation(
    server: RealVault, vault: VaultKeySource
) -> None:
    server.put("openai", KEY)
    calls = asyncio.ensure_future(_calls(vault, 8.0))
    rotated = {1: time.monotonic()}
    for version in range(2, 6):
        await asyncio.sleep(1.37)
        await asyncio.to_thread(server.put, "openai", f"sk-rotation-{version:08}")
        rotated[version] = time.monotonic()
    for began, version in await calls:
        newest = max(number for number, when in rotated.items() if when <= began - 1.0 or number == 1)
        assert version >= newest


@pytest.mark.parametrize("way", ["delete", "destroy", "forget all versions"])
async def test_a_deleted_key_is_used_by_no_call(server: RealVault, vault: VaultKeySource, way: str) -> None:
    server.put("openai", KEY)
    await key_of(vault)
    match way:
        case "delete":
            server.call("DELETE", "secret/data/openai/openai")
        case "destroy":
            server.call("PUT", "secret/destroy/openai/openai", {"versions": [1]})
        case _:
            server.call("DELETE", "secret/metadata/openai/openai")
    await asyncio.sleep(1.0)
    error = await refused(vault)
    assert "secret/openai/openai" in str(error)
    assert "vault kv put" in str(error)


async def test_an_undeleted_key_is_served_again(server: RealVault, vault: VaultKeySource) -> None:
    server.put("openai", KEY)
    server.call("DELETE", "secret/data/openai/openai")
    await refused(vault)
    server.call("PUT", "secret/undelete/openai/openai", {"versions": [1]})
    await well_again(vault, "openai", KEY)


async def test_a_planned_deletion_takes_place_when_it_is_due(
    server: RealVault, vault: VaultKeySource
) -> None:
    server.call("POST", "secret/metadata/openai/openai", {"delete_version_after": "3s"})
    server.put("openai", KEY)
    assert await key_of(vault) == KEY
    await asyncio.sleep(1.2)
    assert await key_of(vault) == KEY
    await asyncio.sleep(3.0)
    await refused(vault)


async def test_a_deletion_of_the_newest_does_not_bring_the_one_before_back(
    server: RealVault, vault: VaultKeySource
) -> None:
    server.put("openai", KEY)
    server.put("openai", NEXT)
    await key_of(vault)
    server.call("DELETE", "secret/data/openai/openai")
    await asyncio.sleep(1.0)
    await refused(vault)


@pytest.mark.parametrize("data", [{}, {"key": ""}, {"key": 7}, {"key": "sk-with space-00"}, {"other": KEY}])
async def test_what_is_no_key_is_refused_unquoted(
    server: RealVault, vault: VaultKeySource, data: dict[str, object]
) -> None:
    server.call("POST", "secret/data/openai/openai", {"data": data})
    error = await refused(vault)
    assert "field `key`" in str(error)
    assert KEY not in str(error)
    assert "with space" not in str(error)


async def test_vault_is_asked_once_a_second_however_many_calls_come(
    server: RealVault, vault: VaultKeySource
) -> None:
    server.put("openai", KEY)
    await key_of(vault)
    before = len(_asked(server))
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(_calls(vault, 4.0))
    assert 2 <= len(_asked(server)) - before <= time.monotonic() - began + 1
    assert sum("secret/data" in path for path in _asked(server)[before:]) == 0


async def test_a_refused_key_is_not_asked_for_by_every_call(server: RealVault, vault: VaultKeySource) -> None:
    before = len(_asked(server, "nobody"))
    began = time.monotonic()
    while time.monotonic() < began + 2.5:
        await refused(vault, "nobody")
        await asyncio.sleep(0.005)
    assert 1 <= len(_asked(server, "nobody")) - before <= 3


async def test_an_unused_key_is_not_asked_about(server: RealVault, vault: VaultKeySource) -> None:
    server.put("openai", KEY)
    await key_of(vault)
    await asyncio.sleep(1.5)
    before = len(_asked(server))
    await asyncio.sleep(2.0)
    assert len(_asked(server)) == before


async def test_old_keys_are_read_anew_in_the_middle_of_their_life(server: RealVault) -> None:
    vault = vault_on(server, app_role(server, "half"), hold_seconds=4)
    server.put("openai", KEY)
    await key_of(vault)
    before = len(_asked(server))
    await _calls(vault, 3.5)
    assert sum("secret/data" in path for path in _asked(server)[before:]) == 1
    await vault.aclose()


def _asked(server: RealVault, credential: str = "openai") -> list[str]:
    """Paths that brokers read for a credential: not the operator's own."""
    return [
        entry["path"]
        for entry in server.audited()
        if entry["operation"] == "read"
        and entry["path"] in {f"secret/data/openai/{credential}", f"secret/metadata/openai/{credential}"}
    ]
