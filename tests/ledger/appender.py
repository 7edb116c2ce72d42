"""A child process for the kill test: appends as fast as it can and prints each acknowledged (seq, call
id).
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.ledger.support import intent, ledger, outcome

OPEN = 3


async def _main(home: Path) -> None:
    log = ledger(home, segment_bytes=200_000)
    await log.open()

    async def caller(number: int) -> None:
        for turn in range(1_000_000):
            call_id = f"{os.getpid()}-{number}-{turn}"
            for record in (intent(call_id), outcome(call_id)):
                receipt = await log.append(record)
                # One write(2) for each line: what the parent reads was acknowledged before the kill.
                os.write(1, f"{receipt.seq} {record.type} {call_id}\n".encode())

    # Calls that never end: whenever the kill comes, there is an open intent to recover.
    for number in range(OPEN):
        await log.append(intent(f"{os.getpid()}-open-{number}"))
    await asyncio.gather(*(caller(number) for number in range(20)))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
