"""For a broker of several processes whose supervisor is born: what it starts is born in the same nursery.
Each of its workers would load for a second what there has been loaded.
"""

from __future__ import annotations

from socket import socket

from broker.app import supervisor
from tests.births import Births, BornProcess, born_part

BEARING = "from tests.born_parts import bear_parts; bear_parts()"
"""What such a supervisor runs first."""


def bear_parts() -> None:
    """From now on, in this process."""
    births = Births.of_this_process()

    async def born(*arguments: str, stdin: socket, pass_fds: tuple[int, ...]) -> BornProcess:
        return born_part(births, arguments, stdin.fileno(), pass_fds)

    supervisor._process = born  # type: ignore[assignment]
