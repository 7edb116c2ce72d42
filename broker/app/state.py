"""The shared state of a configuration: which store, and the ledger that calls are held to their limits by.

Knows: which settings it needs. Must not know: what the store is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from broker.adapters.keyfile import load_or_create_secret
from broker.adapters.ledger.access import WriterAccess
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.termed import TermLedger
from broker.app.parts import StartedParts
from broker.config import Settings
from broker.config.addresses import host_port
from broker.config.state import TLS
from broker.ports import CallLedger, Clock, LimitReader
from broker.tlog.commitment import MASTER_BYTES

if TYPE_CHECKING:
    from broker.adapters.state.shared import Store

_PORT = 6379
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class StateInUse:
    """What holds calls to their limits, and who tells what is taken of them. `trouble` says why no call with
    limits can be served, `unheard` why none at all: a token may be revoked that is not known to be.
    `worker_left` hears that a process of this machine has ended.
    """

    ledger: CallLedger
    reader: LimitReader
    trouble: Callable[[], str] = str
    unheard: Callable[[], str] = str
    worker_left: Callable[[], None] = lambda: None


def log_of(settings: Settings, access: WriterAccess, clock: Clock) -> FileLedger:
    """The log of a machine, not open yet: one that can be shared where limits are."""
    kind = FileLedger if settings.state.adapter == "embedded" else TermLedger
    return kind(settings.audit.directory, access, clock)


async def keep_limits(settings: Settings, log: FileLedger, clock: Clock, parts: StartedParts) -> StateInUse:
    """In the process that has the log's writer. Raises ConfigError and OSError."""
    if not isinstance(log, TermLedger):
        return StateInUse(log, log.limits)
    from broker.adapters.state.rosterfile import RosterFile
    from broker.adapters.state.shared import KeptState

    keys = settings.audit.keys
    names_key = sha256(load_or_create_secret(keys / "commitment.key", MASTER_BYTES)).hexdigest()[:_SHOWN]
    state = KeptState(store(settings), log, clock, RosterFile(keys), names_key)
    await parts.begin("state", state.start, state.aclose)
    return StateInUse(state.ledger, state.limits, state.trouble, state.unheard, state.worker_left)


async def share_limits(settings: Settings, log: FileLedger, clock: Clock, parts: StartedParts) -> StateInUse:
    """In another process of the machine."""
    if not isinstance(log, TermLedger):
        return StateInUse(log, log.limits)
    from broker.adapters.state.shared import SharedState

    state = SharedState(store(settings), log, clock)
    await parts.begin("state", state.start, state.aclose)
    return StateInUse(state.ledger, state.limits, state.trouble, state.unheard)


def store(settings: Settings) -> Store:
    """The store that is configured."""
    from broker.adapters.state.addresses import StoreAddress
    from broker.adapters.state.dialing import Dialer, StoreLogin, StoreTls
    from broker.adapters.state.keyspace import Keyspace
    from broker.adapters.state.shared import Store

    state = settings.state
    parts = urlsplit(state.url or "")
    user = unquote(parts.username) if parts.username else None
    dialer = Dialer(
        StoreAddress(parts.hostname or "", parts.port or _PORT),
        database=int(parts.path.strip("/") or 0),
        login=StoreLogin(user, state.password_file),
        sentinels=tuple(StoreAddress(each.host, each.port) for each in map(host_port, state.sentinels)),
        sentinels_login=StoreLogin(None, state.sentinel_password_file),
        tls=StoreTls(state.ca, state.certificate, state.key) if parts.scheme in TLS else None,
    )
    return Store(dialer, Keyspace(state.deployment), state.wait_seconds, state.allowance_percent)
