"""A machine's part of the windows, as it is written to the store and read from there: in slices, so that a
large one keeps nobody waiting.

Knows names and commands. Must not know when.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import cast

from broker.adapters.state.connection import StoreConnection
from broker.adapters.state.keyspace import HELD, HELD_SECONDS, Keyspace, expiry
from broker.adapters.state.scripts import ADOPT, BEGIN, Command
from broker.model.charge import Taken, Window

SLICE_SECONDS = 5.0
_AT_ONCE = 500


async def begin(
    connection: StoreConnection, names: Keyspace, machine: str, term: int, held: Sequence[Taken], before: int
) -> bool:
    """It counts from now on in place of the one of the term `before`; False where the store was emptied
    meanwhile. `SET writing` was done before anybody knew what is held.
    """
    await _write(connection, names, term, held)
    keys = (names.ready, names.terms, names.unsure, names.writing(machine))
    (begun,) = await connection.run([BEGIN.run(keys, connection.incarnation, machine, term)])
    if begun and before:
        windows = (names.window(each[:4]) for each in held)
        await _all(connection, (("HDEL", window, before) for window in windows))
    return bool(begun)


async def adopt(
    connection: StoreConnection, names: Keyspace, machine: str, term: int, held: Sequence[Taken]
) -> None:
    """It counts again: what a machine held that is away."""
    await connection.run([writing(names, machine, term)])
    await _write(connection, names, term, held)
    await connection.run([ADOPT.run((names.terms, names.writing(machine)), machine, term, term)])


async def read(connection: StoreConnection, names: Keyspace, term: int) -> tuple[Taken, ...]:
    """All that is held in this term."""
    held: dict[str, Taken] = {}  # a scan may tell of a key twice
    async for keys in _windows(connection, names):
        for key, amount in zip(
            keys, await connection.run([("HGET", key, term) for key in keys]), strict=True
        ):
            if amount is not None:
                held[key] = names.taken(key, int(cast("bytes", amount)))
    return tuple(held.values())


async def read_all(connection: StoreConnection, names: Keyspace) -> dict[Window, int]:
    """What all machines have taken of every window."""
    taken: dict[Window, int] = {}
    (terms,) = await connection.run([("HVALS", names.terms)])
    counts = set(cast("list[bytes]", terms))
    async for keys in _windows(connection, names):
        for key, answer in zip(keys, await connection.run([("HGETALL", key) for key in keys]), strict=True):
            held = cast("list[bytes]", answer)
            amount = sum(int(n) for term, n in zip(held[::2], held[1::2], strict=True) if term in counts)
            taken[names.taken(key, amount)[:4]] = amount
    return taken


def writing(names: Keyspace, machine: str, term: int) -> Command:
    """What tells later whether the store was emptied while the part was written."""
    return ("SET", names.writing(machine), term)


async def _write(connection: StoreConnection, names: Keyspace, term: int, held: Iterable[Taken]) -> None:
    await _all(connection, (command for each in held for command in _written(names, term, each)))


def _written(names: Keyspace, term: int, taken: Taken) -> Iterator[Command]:
    window = taken[:4]
    key, until = names.window(window), expiry(window)
    yield ("HSET", key, term, taken.amount)
    yield ("EXPIRE", key, HELD_SECONDS) if until == HELD else ("EXPIREAT", key, until)


async def _windows(connection: StoreConnection, names: Keyspace) -> AsyncIterator[list[str]]:
    """The keys of all windows, some at once."""
    cursor = "0"
    while True:
        (answer,) = await connection.run([("SCAN", cursor, "MATCH", _glob(names), "COUNT", _AT_ONCE)])
        found = cast("tuple[bytes, list[bytes]]", answer)
        cursor = found[0].decode()
        if found[1]:
            yield [key.decode() for key in found[1]]
        if cursor == "0":
            return


async def _all(connection: StoreConnection, commands: Iterable[Command]) -> None:
    batch: list[Command] = []
    for command in commands:
        batch.append(command)
        if len(batch) >= _AT_ONCE:
            await connection.run(batch, SLICE_SECONDS)
            batch = []
    if batch:
        await connection.run(batch, SLICE_SECONDS)


def _glob(names: Keyspace) -> str:
    """A deployment's name has none of the characters that mean something there."""
    return f"{names.windows}*"
