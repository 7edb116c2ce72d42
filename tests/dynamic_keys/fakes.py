"""A DynamicKeySource on an in-process admin API, with time that the test moves."""

from __future__ import annotations

from collections.abc import Mapping

from broker.adapters.ephemeral_keys import JsonHttpClient
from broker.adapters.ephemeral_keys.dynamic import AdminApi, DynamicKey, DynamicKeySource, Instance
from broker.errors import BrokerError
from broker.simulator import Organization
from broker.simulator.organization import Account, Credential, random_value
from tests.contracts.credential_source_contract import refused_lease
from tests.ephemeral_keys.clock import SteppedClock
from tests.ephemeral_keys.network import ADMIN_KEY, Fault, Network, OneKey

INSTANCE = "00112233aabbccdd"
OURS = f"broker-{INSTANCE}-"
PROJECT = "proj_chat"
LIFE, GRACE = 3600, 600.0
KEY = DynamicKey(PROJECT, ("model.request",), LIFE, GRACE)


class Named(Instance):
    """An instance without a file: several of one name stand for a process and its successor."""

    def __init__(self, name: str = INSTANCE) -> None:
        self.name = name

    def release(self) -> None:
        """Nothing is held."""


class DynamicSetup:
    """One organization, and brokers that come and go on it."""

    def __init__(self, keys: Mapping[str, DynamicKey] | None = None) -> None:
        self.clock = SteppedClock()
        self.next_values: dict[str, str] = {}
        self.keys = {"chat": KEY} if keys is None else dict(keys)
        self.organization = Organization(
            admin_keys=(ADMIN_KEY,),
            projects=(PROJECT, "proj_other"),
            now=self.clock.now,
            new_value=self._new_value,
        )
        self.wire = Network(self.organization)
        self.admin_keys = OneKey()
        self.source = self.another()

    def another(self, instance: str = INSTANCE) -> DynamicKeySource:
        """Another broker on the same organization."""
        client = JsonHttpClient(
            "OpenAI's admin API", "https://api.openai.test/v1", transport=self.wire.transport
        )
        return DynamicKeySource(
            self.keys, AdminApi(client, self.admin_keys, "openai-admin"), Named(instance), self.clock
        )

    async def key(self, credential: str = "chat") -> str:
        return (await self.source.lease(credential)).secret.reveal()

    def opens(self, key: str) -> bool:
        """Whether a call with this key would be let in now."""
        return self.organization.rights(key) is not None

    @property
    def ours(self) -> list[Account]:
        """All accounts at OpenAI that bear a name of this instance."""
        return [one for one in self.organization.accounts.values() if one.name.startswith(OURS)]

    @property
    def live(self) -> list[Credential]:
        """All keys of ours that open something."""
        return [key for account in self.ours for key in self.organization.live(account)]

    def store(self, credential: str, key: str) -> None:
        """The next key of the credential is to be this one."""
        self.next_values[credential] = key

    async def pass_ceiling(self) -> None:
        await self.clock.advance(2 * LIFE)

    def lock(self) -> None:
        self.wire.fault = Fault.UNREACHABLE

    def _new_value(self, account: Account, prefix: str) -> str:
        credential = account.name.removeprefix(OURS).rpartition("-")[0]
        return self.next_values.pop(credential, None) or random_value(account, prefix)

    async def refused(self, credential: str = "chat") -> BrokerError:
        return await refused_lease(self.source, credential)
