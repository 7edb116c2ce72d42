"""What a store lacks that is to hold limits: durability, room, and what its user must be let do.

Knows its settings and commands. Must not know configuration files. What it writes it removes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from broker.adapters.state.connection import StoreConnection
from broker.adapters.state.dialing import Dialer
from broker.adapters.state.keyspace import Keyspace
from broker.adapters.state.scripts import ADOPT, BEAT, BEGIN, OPEN, RESERVE, SETTLE, TAKEN, Command

_NOBODY = "doctor"
_NEEDED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@dataclass(frozen=True, slots=True)
class StoreFindings:
    """Settings that are not as they must be, as `name value`, with what they must be; commands that are
    forbidden. `unread`: its user may not look at its settings.
    """

    wrong: tuple[tuple[str, str], ...]
    forbidden: tuple[str, ...]
    unread: bool = False


async def examine_store(dialer: Dialer, names: Keyspace) -> StoreFindings:
    """Raises StoreAwayError."""
    connection = await dialer.dial((RESERVE, SETTLE, TAKEN, BEAT, BEGIN, ADOPT, OPEN))
    try:
        forbidden = await connection.forbidden(_commands(names))
        settings = [("CONFIG", "GET", name) for name in _NEEDED]
        if await connection.forbidden(settings):
            return StoreFindings((), tuple(forbidden), unread=True)
        return StoreFindings(await _wrong(connection), tuple(forbidden))
    finally:
        await connection.close()


async def _wrong(connection: StoreConnection) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for name, needed in _NEEDED.items():
        (answer,) = await connection.run([("CONFIG", "GET", name)])
        value = cast("list[bytes]", answer)[1].decode()
        if value != needed:
            found.append((f"{name} {value}", f"{name} {needed}"))
    return tuple(found)


def _commands(names: Keyspace) -> tuple[Command, ...]:
    """All that a broker gives, and its scripts do, on a key that nobody has."""
    key = names.writing(_NOBODY)
    stream = names.writing(f"{_NOBODY}-stream")
    table = names.writing(f"{_NOBODY}-table")
    return (
        ("PING",),
        ("SET", key, "1"),
        ("GET", key),
        ("EXPIREAT", key, 2**32),
        ("TTL", key),
        ("DEL", key),
        ("SADD", key, "1"),
        ("SISMEMBER", key, "1"),
        ("SREM", key, "1"),
        ("HSET", table, "1", "1"),
        ("HSETNX", table, "2", "1"),
        ("HINCRBY", table, "1", "1"),
        ("HGET", table, "1"),
        ("HGETALL", table),
        ("HVALS", table),
        ("HLEN", table),
        ("EXPIRE", table, 60),
        ("HEXISTS", table, "1"),
        ("HDEL", table, "1", "2"),
        ("XADD", stream, "MINID", "~", 0, "*", "a", "1"),
        ("XRANGE", stream, "-", "+", "COUNT", 1),
        ("DEL", stream),
        ("TIME",),
        ("SCAN", "0", "MATCH", key, "COUNT", 1),
        RESERVE.run((names.epoch, names.ready, names.terms), "", _NOBODY, 0),
    )
