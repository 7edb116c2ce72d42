"""A VaultKeyVault on a real Vault, as an operator sets it up."""

from __future__ import annotations

from pathlib import Path

from broker.adapters.clock import SystemClock
from broker.adapters.vault import AppRole, Cluster, Login, VaultKeyVault
from broker.ports import Clock
from tests.keystore.rig import SetClock
from tests.vault.server import RealVault

KEY = "sk-canary-0123456789abcdef"
NEXT = "sk-canary-next-0123456789"
BACK_SECONDS = 5.0


class JumpingClock(SystemClock):
    """Runs, and jumps when it is told to."""

    jump_seconds = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.jump_seconds * 1e9)

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + int(self.jump_seconds * 1e9)


def cluster(server: RealVault, certificate: tuple[Path, Path] | None = None) -> Cluster:
    return Cluster((server.address,), ca=server.ca, certificate=certificate)


def app_role(server: RealVault, role: str, policies: str = "broker", token_ttl: str = "1h") -> AppRole:
    made = server.approle(role, policies=policies, token_ttl=token_ttl)
    return AppRole(made.role_id, made.secret_id_file)


def vault_on(
    server: RealVault, login: Login, clock: Clock | None = None, hold_seconds: float = 60.0
) -> VaultKeyVault:
    return VaultKeyVault(cluster(server), login, clock or SystemClock(), hold_seconds=hold_seconds)


class RealRig:
    """Implements VaultRig of the contract."""

    def __init__(self, server: RealVault, role: str) -> None:
        self.server = server
        self.clock = SetClock()
        self.vault = vault_on(server, app_role(server, role), self.clock)

    def store(self, credential: str, key: str) -> None:
        self.server.put(credential, key)

    def delete(self, credential: str) -> None:
        self.server.call("DELETE", f"secret/data/openai/{credential}")

    def lock(self) -> None:
        self.server.seal()

    async def pass_second(self) -> None:
        self.clock.ns += 1_000_000_000
