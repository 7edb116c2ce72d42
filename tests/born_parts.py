"""For a broker of several processes whose supervisor is born: what it starts is born in the same nursery.
Each of its workers would load for a second what there has been loaded.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from socket import socket

from broker.app import supervisor
from tests.nursery import PART, Asked, Nursery

BEARING = "from tests.born_parts import bear_parts; bear_parts()"
"""What such a supervisor runs first."""
_MOST_BYTES = 16


class BornPart:
    """A process; of an asyncio Process it has what a supervisor asks of one."""

    def __init__(self, pid: int, end: socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.ensure_future(self._hear(end))

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # its end is not told yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _hear(self, end: socket) -> int:
        with end:
            end.setblocking(False)
            code = int(json.loads(await asyncio.get_running_loop().sock_recv(end, _MOST_BYTES)))
        self.returncode = code
        return code


def bear_parts() -> None:
    """From now on, in this process."""
    nursery = Nursery.of_this_process()

    async def born(*arguments: str, stdin: socket, pass_fds: tuple[int, ...]) -> BornPart:
        asked = Asked(PART, arguments, "", os.getcwd(), dict(os.environ), pass_fds)
        return BornPart(*nursery.bear(asked, [stdin.fileno(), 1, 2, *pass_fds]))

    supervisor._process = born  # type: ignore[assignment]
