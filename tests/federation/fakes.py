"""A FederatedKeySource with a real token file on an in-process token endpoint; the test moves time."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from broker.adapters.ephemeral_keys import SILENT, IssuerObserver, JsonHttpClient
from broker.adapters.ephemeral_keys.federation import FederatedKeySource, SubjectToken, TokenEndpoint, Trust
from broker.adapters.ephemeral_keys.federation.source import Federated
from broker.errors import BrokerError, Kind
from broker.simulator import Mapped, Organization
from broker.simulator.organization import Account, random_value
from tests.ephemeral_keys.clock import SteppedClock
from tests.ephemeral_keys.network import Fault, Network, OneKey
from tests.simulator.issuer import SUBJECT, Issuer

PROVIDER = "idp_one"
STORED = "sk-stored-canary-0123456789"
LIFE = 3600


class FederatedSetup:
    """One workload with a token file, and the endpoint that exchanges its token."""

    def __init__(
        self, directory: Path, fallback: str | None = None, observer: IssuerObserver = SILENT
    ) -> None:
        self.clock = SteppedClock()
        self.issuer = Issuer()
        self.next_values: dict[str, str] = {}
        self.organization = Organization(now=self.clock.now, new_value=self._new_value)
        accounts = [Mapped(SUBJECT, f"svc_acct_{name}", "proj_one") for name in ("openai", "other")]
        self.wire = Network(self.organization, [self.issuer.provider(*accounts, provider_id=PROVIDER)])
        self.file = directory / "token"
        self.refresh()
        self.stored = OneKey(STORED)
        self.source = self._made(fallback, observer)

    def _made(self, fallback: str | None, observer: IssuerObserver) -> FederatedKeySource:
        client = JsonHttpClient(
            "OpenAI's token endpoint", "https://auth.openai.test/oauth/token", transport=self.wire.transport
        )
        credentials = {
            name: Federated(
                SubjectToken(self.file, self.clock), Trust(PROVIDER, f"svc_acct_{name}"), fallback
            )
            for name in ("openai", "other")
        }
        store = None if fallback is None else self.stored
        return FederatedKeySource(credentials, TokenEndpoint(client), self.clock, observer, store)

    def refresh(self, seconds: int = 2 * LIFE, **claims: object) -> str:
        """What keeps the file fresh writes another token."""
        now = int(self.clock.now())
        token = self.issuer.token(seconds, iat=now, exp=now + seconds, **claims)
        scratch = self.file.with_suffix(".new")
        scratch.write_text(token + "\n")
        scratch.replace(self.file)
        return token

    async def key(self, credential: str = "openai") -> str:
        return (await self.source.lease(credential)).secret.reveal()

    def opens(self, key: str) -> bool:
        return self.organization.rights(key) is not None

    def store(self, credential: str, key: str) -> None:
        self.next_values[f"svc_acct_{credential}"] = key

    async def pass_ceiling(self) -> None:
        await self.clock.advance(2 * LIFE)

    def lock(self) -> None:
        self.wire.fault = Fault.UNREACHABLE

    async def refused(self, credential: str = "openai") -> BrokerError:
        with pytest.raises(BrokerError) as caught:
            await self.source.lease(credential)
        error = caught.value
        assert error.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
        assert error.retry_after is not None
        assert error.remedy
        return error

    def _new_value(self, account: Account, prefix: str) -> str:
        return self.next_values.pop(account.id, None) or random_value(account, prefix)


def answering(reply: httpx.Response) -> TokenEndpoint:
    """An endpoint that answers whatever a test wants."""

    def carry(_request: httpx.Request) -> httpx.Response:
        return reply

    client = JsonHttpClient(
        "OpenAI", "https://auth.openai.test/oauth/token", transport=httpx.MockTransport(carry)
    )
    return TokenEndpoint(client)
