"""A call at a listener, as the path sees it.

Knows: what every transport can tell of a call. Must not know: a transport.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from broker.lanes import Lane
from broker.model.call import Call
from broker.model.operation import Operation
from broker.model.request_context import RequestContext


class InboundCall(Protocol):
    """A call at a listener. `decode` reads and checks the body; it runs after authentication, a
    large body in the caller's lane.
    """

    @property
    def context(self) -> RequestContext: ...
    @property
    def operation(self) -> Operation: ...
    @property
    def bearer(self) -> str | None: ...

    def decode(self, lane: Lane) -> Awaitable[Call]: ...
