"""The core as both listeners see it, one protocol a service.

Knows: what is asked of it. Must not know: who does it; the composition root says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from broker.call.inbound import InboundCall
from broker.model.call import Reply, StreamReply
from broker.model.charge import LimitUse, Taken
from broker.model.explanation import Explanation
from broker.model.limit import OwnLimit
from broker.model.request_context import RequestContext
from broker.model.subject import IssuedToken
from broker.model.token import AccessTokenRequest, TokenState
from broker.tlog.search import Search


class CallInterface(Protocol):
    """The pipeline. Raises BrokerError."""

    async def run(self, inbound: InboundCall) -> Reply | StreamReply: ...


class TokenInterface(Protocol):
    """Issues tokens. Raises BrokerError."""

    async def issue(self, context: RequestContext, wish: AccessTokenRequest) -> IssuedToken: ...


class PolicyInterface(Protocol):
    """Says what the policies would decide, as far as the asker may know. Raises BrokerError."""

    async def explain(self, context: RequestContext, point: str, input_json: str) -> Explanation: ...

    async def policy(self, context: RequestContext) -> tuple[str, str, str]: ...


class OwnLimitInterface(Protocol):
    """What is left of a caller's own limits. Raises BrokerError."""

    async def own(
        self, context: RequestContext, bearer: str | None, operation: str | None, model: str | None
    ) -> tuple[OwnLimit, ...]: ...


class LimitInterface(Protocol):
    """Everybody's limits, after `data.broker.admin.decision` allowed it. Raises BrokerError."""

    async def most_used(self, context: RequestContext, named: str, most: int) -> tuple[LimitUse, ...]: ...

    async def reset(self, context: RequestContext, limit: str) -> tuple[Taken, ...]: ...


class AdminInterface(Protocol):
    """Acts after `data.broker.admin.decision` allowed it. Raises BrokerError."""

    async def introspect(self, context: RequestContext, token: str) -> TokenState: ...

    async def revoke(self, context: RequestContext, token: str) -> None: ...

    def records(self, context: RequestContext, after_seq: int, search: Search) -> AsyncIterator[bytes]: ...

    async def records_of(self, context: RequestContext, wanted: str) -> list[bytes]: ...

    async def record_at(self, context: RequestContext, seq: int) -> bytes: ...

    async def checkpoint(self, context: RequestContext) -> bytes: ...
