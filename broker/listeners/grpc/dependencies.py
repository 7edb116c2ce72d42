"""What the gRPC listener is given: the core, and what is its own.

Knows: the core's surface. Must not know: its implementation; the composition root fills it in.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from broker.listeners.interfaces import (
    AdminInterface,
    CallInterface,
    LimitInterface,
    OwnLimitInterface,
    PolicyInterface,
    TokenInterface,
)
from broker.listeners.overload import LoadShedder
from broker.model.subject import Peer

TRANSPORT = "grpc"


def log_defect(call_id: str, error: Exception) -> None:
    """Logs where a defect showed, never its message: that may quote what the caller sent."""
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
    logging.getLogger(__name__).error(
        "defect %s in call %s at %s", type(error).__name__, call_id, " > ".join(places)
    )


@dataclass(frozen=True, slots=True)
class ListenerDependencies:
    """`unready` returns what is missing, or an empty string when calls can be served. `forwarded` are
    further prefixes of metadata that go on to upstream. `on_defect` is told of every error that is no
    BrokerError; the caller sees only INTERNAL.
    """

    calls: CallInterface
    token_issuer: TokenInterface
    administrator: AdminInterface
    policy_explainer: PolicyInterface
    own_limits: OwnLimitInterface
    limit_administrator: LimitInterface
    read_peer: Callable[[tuple[bytes, ...]], Peer]
    unready: Callable[[], str]
    new_call_id: Callable[[], str]
    shedder: LoadShedder
    forwarded: tuple[str, ...] = ()
    on_defect: Callable[[str, Exception], None] = log_defect
