"""A real Vault that is sealed, killed, frozen, forbids, forgets us: held keys go on, others are refused."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from broker.adapters.vault import VaultKeySource
from tests.vault.server import RealVault
from tests.vault.setups import (
    KEY,
    NEXT,
    JumpingClock,
    app_role,
    key_of,
    own_token,
    refused,
    vault_on,
    well_again,
)

pytestmark = pytest.mark.servers

_DENY = 'path "secret/*" { capabilities = ["deny"] }'
_STALE_SECONDS = 1.05  # what was confirmed is no longer


def _forbid(server: RealVault) -> None:
    server.call("PUT", "sys/policies/acl/broker", {"policy": _DENY})


def _restart(server: RealVault) -> None:
    server.start()
    server.unseal()


OUTAGES: dict[str, tuple[Callable[[RealVault], None], Callable[[RealVault], None]]] = {
    "sealed": (RealVault.seal, RealVault.unseal),
    "killed": (RealVault.kill, _restart),
    "frozen": (RealVault.freeze, RealVault.thaw),
    "forbidden": (_forbid, RealVault.grant),
}


@pytest.fixture
async def vault(server: RealVault) -> AsyncIterator[VaultKeySource]:
    vault = vault_on(server, app_role(server, f"outage-{uuid.uuid4().hex}"), JumpingClock())
    await vault.start()
    yield vault
    await vault.aclose()


@pytest.mark.parametrize("outage", OUTAGES)
async def test_held_keys_go_on_others_are_refused_and_all_recovers(
    server: RealVault, vault: VaultKeySource, outage: str
) -> None:
    broken, repaired = OUTAGES[outage]
    for credential in ("openai", "other"):
        server.put(credential, KEY)
    assert await key_of(vault) == KEY
    broken(server)
    await asyncio.sleep(_STALE_SECONDS)
    assert await key_of(vault) == KEY
    await asyncio.gather(*(refused(vault, "other") for _ in range(20)))
    assert await key_of(vault) == KEY
    await asyncio.to_thread(repaired, server)
    server.put("openai", NEXT)
    await well_again(vault, "other", KEY)
    await well_again(vault, "openai", NEXT)


async def test_calls_with_a_held_key_wait_for_a_frozen_vault_once(
    server: RealVault, vault: VaultKeySource
) -> None:
    server.put("openai", KEY)
    await key_of(vault)
    server.freeze()
    waits = []
    for _ in range(150):
        began = time.monotonic()
        assert await key_of(vault) == KEY
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.03)
    assert sum(wait > 0.1 for wait in waits) <= 1
    assert max(waits) < 0.5


async def test_a_token_revoked_under_us_is_replaced(server: RealVault, vault: VaultKeySource) -> None:
    for credential in ("openai", "other"):
        server.put(credential, KEY)
    await key_of(vault)
    revoked = own_token(vault)
    server.call("POST", "auth/token/revoke", {"token": revoked})
    assert await key_of(vault) == KEY
    await well_again(vault, "other", KEY)
    assert own_token(vault) != revoked


async def test_a_held_key_ends_at_its_ceiling(server: RealVault) -> None:
    vault = vault_on(server, app_role(server, "ceiling"), hold_seconds=2)
    server.put("openai", KEY)
    began = time.monotonic()
    await key_of(vault)
    ends = time.monotonic() + 2
    server.seal()
    while time.monotonic() < began + 1.8:
        assert await key_of(vault) == KEY
        await asyncio.sleep(0.1)
    await asyncio.sleep(ends + 0.1 - time.monotonic())
    await refused(vault)
    assert vault._kept["openai"]._held is None
    await vault.aclose()


async def test_an_idle_vault_forgets_its_keys(server: RealVault) -> None:
    vault = vault_on(server, app_role(server, "idle"), hold_seconds=0.3)
    server.put("openai", KEY)
    await key_of(vault)
    assert vault._kept["openai"]._held is not None
    await asyncio.sleep(0.4)
    assert vault._kept["openai"]._held is None
    await vault.aclose()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_clock_that_jumps_costs_no_call(server: RealVault, jump: float) -> None:
    clock = JumpingClock()
    vault = vault_on(server, app_role(server, f"jump{jump > 0}"), clock)
    server.put("openai", KEY)
    await key_of(vault)
    server.put("openai", NEXT)
    clock.jump_seconds = jump
    assert await key_of(vault) == NEXT
    await vault.aclose()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_key_whose_age_is_unknown_is_not_used(server: RealVault, jump: float) -> None:
    clock = JumpingClock()
    vault = vault_on(server, app_role(server, f"unknown{jump > 0}"), clock)
    server.put("openai", KEY)
    await key_of(vault)
    server.seal()
    clock.jump_seconds = jump
    await refused(vault)
    await vault.aclose()


async def test_a_forgotten_key_is_gone_at_once(server: RealVault, vault: VaultKeySource) -> None:
    server.put("openai", KEY)
    await key_of(vault)
    server.seal()
    vault.forget("openai")
    await refused(vault)


async def test_a_key_forgotten_while_it_is_fetched_is_asked_for_again(
    server: RealVault, vault: VaultKeySource
) -> None:
    server.put("openai", KEY)
    call = asyncio.ensure_future(key_of(vault))
    await asyncio.sleep(0)
    vault.forget("openai")
    server.put("openai", NEXT)
    assert await call == NEXT
