"""A real Vault as an operator works on its keys, and as the certifier: the ports' contracts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.vault import Session, TransitCertifier, VaultStore
from broker.adapters.vault.operator import TokenFile, operator
from broker.errors import BrokerError
from tests.contracts.certifier_contract import CertifierContract
from tests.contracts.key_store_contract import KeyStoreContract
from tests.vault.authority import rotate, set_up
from tests.vault.server import RealVault
from tests.vault.setups import VaultSetup, app_role, cluster

pytestmark = pytest.mark.servers


class VaultKeys:
    """Implements KeysSetup, with a token that has the policy broker-keys and no other."""

    def __init__(self, server: RealVault, keys: VaultStore, another: VaultStore) -> None:
        self.setup = VaultSetup(server, f"contract-{uuid.uuid4().hex}")
        self.keys = keys
        self._another = another
        self._server = server

    def another(self) -> VaultStore:
        return self._another

    async def leased(self, credential: str) -> tuple[str, int]:
        await self.setup.pass_second()
        try:
            lease = await self.setup.source.lease(credential)
        except BrokerError:  # it may rest after an earlier refusal, by the event loop's own time
            await asyncio.sleep(1)
            lease = await self.setup.source.lease(credential)
        return lease.secret.reveal(), lease.key_version

    def lock(self) -> None:
        self._server.seal()


class TestVaultStore(KeyStoreContract):
    """The contract."""

    adapter = VaultStore

    @pytest.fixture
    async def rig(self, server: RealVault) -> AsyncIterator[VaultKeys]:
        token = TokenFile(server.keys_token)
        with operator(cluster(server), token) as one, operator(cluster(server), token) as other:
            setup = VaultKeys(
                server, VaultStore(one, "secret", "openai"), VaultStore(other, "secret", "openai")
            )
            yield setup
            await setup.setup.source.aclose()


class VaultCertifier:
    """Implements CertifierSetup."""

    def __init__(self, server: RealVault, session: Session) -> None:
        self.certifier = TransitCertifier(session)
        self._server = server

    def rotate(self) -> None:
        rotate(self._server)

    def lock(self) -> None:
        self._server.seal()

    def freeze(self) -> None:
        self._server.freeze()


class TestTransit(CertifierContract):
    """The contract."""

    adapter = TransitCertifier

    @pytest.fixture
    async def rig(self, server: RealVault) -> AsyncIterator[VaultCertifier]:
        set_up(server)
        session = Session(cluster(server), app_role(server, "certifying"), SystemClock())
        await session.start()
        yield VaultCertifier(server, session)
        await session.aclose()
