"""A call at a listener, as the path sees it.

Knows: what every transport can tell of a call. Must not know: a transport.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from broker.lanes import Lane
from broker.model.call import Call
from broker.model.operation import Operation
from broker.model.request_context import RequestContext


class InboundCall(Protocol):
    """A call at a listener. `decode` reads and checks the body; it runs after authentication, a
    large body in the caller's lane. `admitted` is told once the intent is durable: from then on the call
    waits for upstream, however long, and another one may be begun.
    """

    @property
    def context(self) -> RequestContext: ...
    @property
    def operation(self) -> Operation: ...
    @property
    def bearer(self) -> str | None: ...
    @property
    def admitted(self) -> Callable[[], None]: ...

    def decode(self, lane: Lane) -> Awaitable[Call]: ...
