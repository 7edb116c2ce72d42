"""A machine's part of the windows, as it is written to the store and read from there: in slices, so that a
large one keeps nobody waiting.

Knows names and commands. Must not know when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from broker.adapters.state.dialing import StoreConnection
from broker.adapters.state.keyspace import HELD, HELD_SECONDS, Keyspace, expiry
from broker.adapters.state.scripts import ADOPT, BEGIN, Command
from broker.model.charge import Taken

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
    held: list[Taken] = []
    cursor: str | int = 0
    while True:
        (answer,) = await connection.run([("SCAN", cursor, "MATCH", _glob(names), "COUNT", _AT_ONCE)])
        found = cast("tuple[bytes, list[bytes]]", answer)
        cursor, windows = found[0].decode(), [window.decode() for window in found[1]]
        amounts = await connection.run([("HGET", window, term) for window in windows]) if windows else []
        held += [
            names.taken(window, int(cast("bytes", amount)))
            for window, amount in zip(windows, amounts, strict=True)
            if amount is not None
        ]
        if cursor == "0":
            return tuple(held)


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
