"""What the gRPC door needs of the core, as plain functions and small Protocols.

Knows: the core's surface. Must not know: its implementation; the composition root fills it in.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.model.call import Reply, StreamReply
from broker.model.subject import IssuedToken, Peer
from broker.model.token import TokenState, TokenWish
from broker.passage import Arrival

TRANSPORT = "grpc"


class Calls(Protocol):
    """The pipeline. Raises BrokerError."""

    async def run(self, arrival: Arrival) -> Reply | StreamReply: ...


class Issuing(Protocol):
    """Issues tokens. Raises BrokerError."""

    async def issue(self, peer: Peer, wish: TokenWish, transport: str, call_id: str) -> IssuedToken: ...


class Administering(Protocol):
    """Acts after `data.broker.admin.decision` allowed it. Raises BrokerError."""

    async def introspect(self, peer: Peer, token: str, transport: str, call_id: str) -> TokenState: ...

    async def revoke(self, peer: Peer, token: str, transport: str, call_id: str) -> None: ...

    def records(self, peer: Peer, after_seq: int, transport: str, call_id: str) -> AsyncIterator[bytes]: ...

    async def checkpoint(self, peer: Peer, transport: str, call_id: str) -> bytes: ...


def log_defect(call_id: str, error: Exception) -> None:
    """Logs where a defect showed, never its message: that may quote what the caller sent."""
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
    logging.getLogger(__name__).error(
        "defect %s in call %s at %s", type(error).__name__, call_id, " > ".join(places)
    )


@dataclass(frozen=True, slots=True)
class Core:
    """`unready` returns what is missing, or an empty string when calls can be served. `forwarded` are
    further prefixes of metadata that go on to upstream. `on_defect` is told of every error that is no
    BrokerError; the caller sees only INTERNAL.
    """

    calls: Calls
    issuance: Issuing
    administration: Administering
    read_peer: Callable[[bytes], Peer]
    unready: Callable[[], str]
    new_call_id: Callable[[], str]
    forwarded: tuple[str, ...] = ()
    on_defect: Callable[[str, Exception], None] = log_defect
