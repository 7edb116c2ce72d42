"""How a process is asked for where all is loaded that it would load: by tests, and by what was born there.

Knows: what is asked and answered, and a process as asyncio knows one. Must not know: how one is born.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

PART = "broker.app.__main__"
"""A worker, or the coordinator: what a supervisor starts."""
TRIAL = "broker.adapters.rego.preflight"
ASKING = "NURSERY"
"""Names the descriptor on which it is asked for; what is born has it, too."""
MOST_BYTES = 128 * 1024


@dataclass(frozen=True)
class Asked:
    """What a child is to be: `first` is Python that it runs before its program, `passed` are the numbers of
    descriptors that it has beside its streams.
    """

    program: str
    words: tuple[str, ...]
    first: str
    folder: str
    environment: Mapping[str, str]
    passed: tuple[int, ...] = ()

    @classmethod
    def like_us(cls, program: str, words: Sequence[str], passed: tuple[int, ...] = ()) -> Asked:
        """In this process's folder and environment."""
        return cls(program, tuple(words), "", os.getcwd(), dict(os.environ), passed)


class Births:
    """Where this process may ask for another one."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked

    @classmethod
    def of_this_process(cls) -> Births:
        return cls(socket.socket(fileno=os.dup(int(os.environ[ASKING]))))

    def close(self) -> None:
        self._asked.close()

    def fileno(self) -> int:
        """The descriptor that `ASKING` names in what is started from here."""
        return self._asked.fileno()

    def bear(self, asked: Asked, given: Sequence[int]) -> tuple[int, socket.socket]:
        """A process with these descriptors: for its streams, and for `asked.passed`. Its number, and a socket
        that says how it ended.
        """
        end, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with told:
            socket.send_fds(self._asked, [json.dumps(asdict(asked)).encode()], [*given, told.fileno()])
        return json.loads(end.recv(MOST_BYTES)), end


class BornProcess:
    """Of an asyncio Process it has what is asked of one. `output` is read by `communicate`."""

    def __init__(self, pid: int, end: socket.socket, output: int | None = None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._output = output
        self._ended = asyncio.ensure_future(self._hear(end))

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def communicate(self) -> tuple[bytes, None]:
        assert self._output is not None
        reader = asyncio.StreamReader()
        connecting = asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._output, "rb")
        )
        transport, _ = await connecting
        try:
            said = await reader.read()
        finally:
            transport.close()
        await self.wait()
        return said, None

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # its end is not told yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _hear(self, end: socket.socket) -> int:
        with end:
            end.setblocking(False)
            told = await asyncio.get_running_loop().sock_recv(end, MOST_BYTES)
        self.returncode = int(json.loads(told))
        return self.returncode


def born_part(births: Births, words: Sequence[str], stdin: int, passed: tuple[int, ...]) -> BornProcess:
    """A worker or a coordinator, with this process's output and errors."""
    return BornProcess(*births.bear(Asked.like_us(PART, words, passed), [stdin, 1, 2, *passed]))


def born_trial(births: Births, directory: Path, words: Sequence[str]) -> BornProcess:
    """A trial of policies. What it says is for `communicate`."""
    output, theirs = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    given = [nothing, theirs, nothing]
    try:
        pid, end = births.bear(Asked.like_us(TRIAL, (str(directory), *words)), given)
    finally:
        os.close(theirs)
        os.close(nothing)
    return BornProcess(pid, end, output)
