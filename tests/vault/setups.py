"""A VaultKeySource on a real Vault, as an operator sets it up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.vault import AppRole, Cluster, Login, Session, VaultKeySource, VaultStore
from broker.adapters.vault.operator import TokenFile, operator
from broker.errors import BrokerError, Kind
from broker.model.credential import KeyVersion
from broker.ports import Clock
from tests.frames import shown
from tests.keystore.fakes import SetClock
from tests.vault.server import RealVault

KEY = "sk-canary-0123456789abcdef"
NEXT = "sk-canary-next-0123456789"
BACK_SECONDS = 5.0
REFUSED_SECONDS = 2.1


class JumpingClock(SystemClock):
    """Runs, and jumps when it is told to."""

    jump_seconds = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.jump_seconds * 1e9)

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + int(self.jump_seconds * 1e9)


def cluster(server: RealVault, certificate: tuple[Path, Path] | None = None) -> Cluster:
    return Cluster((server.address,), ca=server.ca, certificate=certificate)


def app_role(server: RealVault, role: str, life: str = "1h", longest: str = "24h") -> AppRole:
    made = server.approle(role, life=life, longest=longest)
    return AppRole(made.role_id, made.secret_id_file)


def vault_on(
    server: RealVault, login: Login, clock: Clock | None = None, hold_seconds: float = 60.0
) -> VaultKeySource:
    return vault_at(cluster(server), login, clock, hold_seconds=hold_seconds)


def vault_at(
    where: Cluster,
    login: Login,
    clock: Clock | None = None,
    *,
    mount: str = "secret",
    prefix: str = "openai",
    hold_seconds: float = 60.0,
) -> VaultKeySource:
    """With a session of its own."""
    clock = clock or SystemClock()
    session = Session(where, login, clock)
    return VaultKeySource(session, clock, mount=mount, prefix=prefix, hold_seconds=hold_seconds)


def own_token(vault: VaultKeySource) -> str:
    """The broker's Vault token, which only a test may look at."""
    grant = vault._session._token._grant
    assert grant is not None
    return grant.token.reveal()


async def key_of(vault: VaultKeySource, credential: str = "openai") -> str:
    return (await vault.lease(credential)).secret.reveal()


async def refused(vault: VaultKeySource, credential: str = "openai") -> BrokerError:
    """The error of a call that gets no key; it comes in time, says what to try, and brings no key along."""
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await vault.lease(credential)
    took = time.monotonic() - began
    assert took < REFUSED_SECONDS, f"refused after {took:.3f} s"
    error = caught.value
    assert error.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert error.retry_after is not None
    assert error.retry_after > 0
    assert error.remedy
    everything = shown(error)
    assert [secret for secret in (KEY, NEXT) if secret in everything] == []
    return error


async def well_again(vault: VaultKeySource, credential: str, key: str) -> None:
    """Returns once calls get `key`; fails where that takes longer than Vault's return may take."""
    until = time.monotonic() + BACK_SECONDS
    while True:
        with contextlib.suppress(BrokerError):
            if await key_of(vault, credential) == key:
                return
        assert time.monotonic() < until, "no recovery"
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def key_store(server: RealVault) -> Iterator[VaultStore]:
    """The operator's side, with a token that has the policy broker-keys and no other."""
    with operator(cluster(server), TokenFile(server.keys_token)) as one:
        yield VaultStore(one, "secret", "openai")


class VaultSetup:
    """Implements StoreSetup of the contract."""

    def __init__(self, server: RealVault, role: str) -> None:
        self.server = server
        self.clock = SetClock()
        self.source = vault_on(server, app_role(server, role), self.clock)

    def store(self, credential: str, key: str) -> None:
        with key_store(self.server) as store:
            store.put(credential, key)

    def quarantine(self, credential: str, reason: str) -> None:
        with key_store(self.server) as store:
            store.quarantine(credential, reason)

    def release(self, credential: str) -> None:
        with key_store(self.server) as store:
            store.release(credential)

    def shown(self, credential: str) -> list[KeyVersion]:
        with key_store(self.server) as store:
            return list(store.versions(credential))

    def delete(self, credential: str) -> None:
        self.server.call("DELETE", f"secret/data/openai/{credential}")

    def lock(self) -> None:
        self.server.seal()

    async def pass_second(self) -> None:
        self.clock.ns += 1_000_000_000

    async def pass_ceiling(self) -> None:
        self.clock.ns += 61_000_000_000
