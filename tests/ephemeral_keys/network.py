"""OpenAI's admin API and token endpoint in this process: the simulator's own, without a socket in between."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256

import httpx

from broker.model.secret import Lease, Secret
from broker.simulator import Organization, Provider
from broker.simulator.authentication import KeyAuthentication
from broker.simulator.federation import TokenEndpoint
from broker.simulator.organization_api import OrganizationApi
from broker.simulator.reply import Json
from broker.simulator.request import ReceivedRequest
from broker.simulator.store import Store

ADMIN_KEY = "sk-admin-canary-0123456789abcdef"


class Fault(StrEnum):
    """What the network does to a request."""

    NONE = "none"
    UNREACHABLE = "unreachable"
    LOST_REQUEST = "lost request"
    LOST_REPLY = "lost reply"
    OVERLOADED = "overloaded"


class Network:
    """Carries requests there. `faults` befall the next requests, one each, then `fault` all others; `heard`
    are method and path of those that arrived.
    """

    def __init__(self, organization: Organization, providers: Sequence[Provider] = ()) -> None:
        self.organization = organization
        self.fault = Fault.NONE
        self.faults: list[Fault] = []
        self.heard: list[str] = []
        store, authentication = Store(), KeyAuthentication((), organization)
        tokens = TokenEndpoint(organization, providers)
        self._administration = OrganizationApi(organization, tokens, authentication, store)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._carry)

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        fault = self.faults.pop(0) if self.faults else self.fault
        if fault is Fault.UNREACHABLE:
            raise httpx.ConnectError("refused", request=request)
        if fault is Fault.LOST_REQUEST:
            raise httpx.ReadTimeout("lost", request=request)
        if fault is Fault.OVERLOADED:
            return httpx.Response(503)
        self.heard.append(f"{request.method} {request.url.path}")
        reply, _ = self._administration.answer(_received(request))
        assert isinstance(reply, Json)
        if fault is Fault.LOST_REPLY:
            raise httpx.ReadTimeout("lost", request=request)
        return httpx.Response(reply.status, stream=httpx.ByteStream(reply.body))


def _received(request: httpx.Request) -> ReceivedRequest:
    return ReceivedRequest(
        time_ns=0,
        method=request.method,
        path=request.url.raw_path.decode().partition("?")[0],
        query=request.url.query.decode(),
        headers=dict(request.headers.raw) | {name.lower(): value for name, value in request.headers.raw},
        body=request.content,
        digest=sha256(request.content).hexdigest(),
        request_id="req_wire",
    )


class OneKey:
    """A CredentialSource with one key under every name, or none."""

    def __init__(self, key: str = ADMIN_KEY) -> None:
        self.key = key
        self.leases = 0

    async def lease(self, credential: str) -> Lease:
        self.leases += 1
        return Lease(f"test:{credential}", 1, Secret(self.key))
