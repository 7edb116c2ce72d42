"""What a reservation in the shared store and its settlement cost a caller, beside bare round trips to the
same store: `python -m tests.bench.state`. All in one run, in turns: only the ratios mean something.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from broker.adapters.state.lane import LINGER_SECONDS
from broker.adapters.state.scripts import RESERVE, SETTLE, Command, Script, Took
from broker.model.charge import Charge, Unit
from tests.contracts.call_ledger_contract import CallsOn, charge
from tests.ledger.support import opened
from tests.state.machines import machine
from tests.state.server import RealStore

ROUNDS, LIMITS = 500, 3
NOTHING = Script("return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = RealStore(home / "store")
        try:
            await _measured(home, store)
        finally:
            store.stop()


async def _measured(home: Path, store: RealStore) -> None:
    connection = await store.dialer.dial((RESERVE, SETTLE, NOTHING))

    async def bare(command: Command) -> None:
        await connection.run([command])

    async with machine(home / "shared", store) as one, opened(home / "alone") as alone:
        lane, loop = one.state._lane, asyncio.get_running_loop()
        shared, embedded = CallsOn(one.ledger), CallsOn(alone)

        async def in_the_store() -> None:
            charges = _charges()
            took = await lane.take(charges, loop.time() + 10)
            assert isinstance(took, Took)
            lane.change(took.term, [each.taken._replace(amount=-1) for each in charges])

        async def recorded(calls: CallsOn) -> None:
            await calls.settle(await calls.reserve(*_charges()), {Unit.REQUESTS: 1})

        measured: dict[str, Callable[[], Awaitable[None]]] = {
            "PING": lambda: bare(("PING",)),
            "EVALSHA of a script that does nothing": lambda: bare(NOTHING.run(())),
            "HINCRBY, synced": lambda: bare(("HINCRBY", "broker:bench:x", "f", 1)),
            f"reserve and settle {LIMITS} limits in the store": in_the_store,
            "the same and both records, store and log": lambda: recorded(shared),
            "both records, embedded limits": lambda: recorded(embedded),
        }
        took = await _in_turns(measured)
        await connection.close()
    base = took["HINCRBY, synced"]
    for name, seconds in took.items():
        print(f"{name:48} {seconds * 1e6:7.0f} µs {seconds / base:6.2f} × a bare write")
    more = took["the same and both records, store and log"] - took["both records, embedded limits"]
    print(f"{'what sharing adds to a call':48} {more * 1e6:7.0f} µs {more / base:6.2f} × a bare write")


async def _in_turns(measured: dict[str, Callable[[], Awaitable[None]]]) -> dict[str, float]:
    """The median of each."""
    took: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(ROUNDS):
        for name, once in measured.items():
            began = time.perf_counter()
            await once()
            took[name].append(time.perf_counter() - began)
            await asyncio.sleep(2 * LINGER_SECONDS)  # what is settled off the caller's path is in nobody's
    return {name: statistics.median(each) for name, each in took.items()}


def _charges() -> list[Charge]:
    return [charge(f"limit-{number}", 1, 2**50) for number in range(LIMITS)]


if __name__ == "__main__":
    asyncio.run(main())
