"""How a ledger comes to its writer: it starts one in a process of its own, or joins one that is at work.

Knows processes and sockets. Must not know what is said on them.
"""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from socket import send_fds, socket, socketpair
from typing import Protocol

from broker.adapters.ledger.messages import WriterMessage
from broker.adapters.ledger.opening import Opening, joining

_ENDED_SECONDS = 1.0


class Writer(Protocol):
    """Where `write_log` runs. All methods block."""

    def start(self, ledger: socket, joining: socket) -> None:
        """Has it serve copies of these sockets. Raises OSError."""

    def wait(self, seconds: float) -> bool:
        """Returns when it ended, or after so long; whether it ended."""

    def kill(self) -> None:
        """Ends it, wherever it stands: what it leaves is what a crash leaves."""


class WriterProcess:
    """A process of its own, with a memory and an interpreter lock of its own."""

    def start(self, ledger: socket, joining: socket) -> None:
        """See Writer."""
        # -P: whatever lies in the working directory is not imported
        command = [sys.executable, "-P", "-m", "broker.adapters.ledger", str(joining.fileno())]
        self._process = subprocess.Popen(  # noqa: S603 - ours
            command,
            stdin=ledger.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
            pass_fds=(joining.fileno(),),
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait(self, seconds: float) -> bool:
        """See Writer."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """See Writer. One that hangs in the disk ends when the disk lets it."""
        self._process.kill()


class WriterAccess(Protocol):
    """How a ledger comes to its writer. `hello` is the first it says there; `owns_log` tells whether the log
    begins and ends with this ledger.
    """

    hello: WriterMessage
    owns_log: bool

    async def connect(self) -> socket:
        """A socket to it. Raises OSError."""

    async def let_go(self) -> None:
        """The socket is closed."""


class StartedWriter:
    """A writer that begins and ends with its ledger, and opens the log that it names."""

    owns_log = True

    def __init__(self, opening: Opening, writer: Writer) -> None:
        self.hello = opening.message()
        self._writer = writer
        self._joining: socket | None = None

    async def connect(self) -> socket:
        """See WriterAccess."""
        ours, theirs = socketpair()
        self._joining, joining = socketpair()
        try:
            with theirs, joining:
                await asyncio.to_thread(self._writer.start, theirs, joining)
        except OSError:
            ours.close()
            raise
        return ours

    def admit(self) -> socket:
        """A socket on which another ledger may join. Raises OSError."""
        if self._joining is None:
            raise OSError(errno.ENOTCONN, "the writer was not started")
        ours, theirs = socketpair()
        with theirs:
            send_fds(self._joining, [b"j"], [theirs.fileno()])
        return ours

    async def let_go(self) -> None:
        """See WriterAccess. Waits for its end: at most 1 s, then it is killed; nothing that was acknowledged
        is lost by that.
        """
        if self._joining is not None:
            self._joining.close()
        if not await asyncio.to_thread(self._writer.wait, _ENDED_SECONDS):
            self._writer.kill()
            await asyncio.to_thread(self._writer.wait, _ENDED_SECONDS)


class JoinedWriter:
    """A writer that another ledger has started: it goes on when this one ends."""

    owns_log = False

    def __init__(self, admitted: socket) -> None:
        """`admitted`: see StartedWriter.admit."""
        self.hello = joining()
        self._admitted = admitted

    async def connect(self) -> socket:
        """See WriterAccess."""
        return self._admitted

    async def let_go(self) -> None:
        """See WriterAccess."""
