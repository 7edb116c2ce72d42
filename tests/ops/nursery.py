"""Where processes of the broker's commands are born: one process has loaded all that they load, and each is a
copy of it. `python -m tests.ops.nursery FD` with a socket there that is told of each.

Knows: how a copy gets its own group, standard streams and words. From then on it is what the console script
is, to the end of its interpreter. A start of its own would load the same for most of the time that a failed
start takes; starts in which nothing fails have one.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO
from unittest import mock

from broker.app.parts import StartedParts
from broker.cli import main
from broker.cli import serve as serve  # noqa: PLC0414 - what `broker serve` loads
from tests.commands import Done
from tests.running import environment

_STREAMS = (0, 1, 2)


@dataclass
class Born:
    """A process, and our ends of its standard streams."""

    pid: int
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    _parent: socket.socket
    returncode: int | None = None

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def communicate(self, input: str = "", timeout: float = 60) -> tuple[str, str]:  # noqa: A002 - as Popen
        """Tells it that, and waits for its end: all that it still says on its output, and on its errors."""
        patience = threading.Timer(timeout, os.killpg, (self.pid, signal.SIGKILL))
        patience.start()
        with suppress(BrokenPipeError), self.stdin:
            self.stdin.write(input)
        with self.stdout, self.stderr:
            said, errors = self.stdout.read(), self.stderr.read()
        self.returncode = json.loads(self._parent.recv(100))
        patience.cancel()
        return said, errors

    def done(self) -> Done:
        """Waits for its end, which is to come by itself."""
        said, errors = self.communicate()
        assert self.returncode is not None
        return Done(self.returncode, said, errors)


class Nursery:
    """One child at a time."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent

    def spawn(self, *words: str, part: str = "") -> Born:
        """`broker WORDS`, in a process group of its own. Where `part` is one of the start's parts, it says
        `begun` when that has begun and waits for a line on standard input, and fails where that says so.
        """
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        (stdin, ours_in), (ours_out, stdout), (ours_err, stderr) = pipes
        theirs = [stdin, stdout, stderr]
        socket.send_fds(self._parent, [json.dumps({"words": words, "part": part}).encode()], theirs)
        for each in theirs:
            os.close(each)
        pid = json.loads(self._parent.recv(100))
        return Born(pid, os.fdopen(ours_in, "w"), os.fdopen(ours_out), os.fdopen(ours_err), self._parent)


@contextmanager
def nursery() -> Iterator[Nursery]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", __name__, str(theirs.fileno())]
    told = {**environment(), "GRPC_VERBOSITY": "INFO"}  # as `broker serve` sets it before it loads grpc
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], env=told), ours:
        theirs.close()
        yield Nursery(ours)


def _born(parent: socket.socket) -> None:
    """Returns in each child, once it is ready to be the broker."""
    while True:
        asked, streams, _, _ = socket.recv_fds(parent, 65536, len(_STREAMS))
        if not asked:
            sys.exit()
        pid = os.fork()
        if pid == 0:
            return _become(parent, streams, **json.loads(asked))
        for each in streams:
            os.close(each)
        parent.send(json.dumps(pid).encode())
        parent.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _become(parent: socket.socket, streams: list[int], words: list[str], part: str) -> None:
    parent.close()
    os.setsid()
    for stream, given in zip(_STREAMS, streams, strict=True):
        os.dup2(given, stream)
        os.close(given)
    sys.argv = ["broker", *words]
    if part:
        _stop_at(part)


def _stop_at(chosen: str) -> None:
    add, begin = StartedParts.add, StartedParts.begin

    def heed(said: str) -> None:
        if said == "fail\n":
            raise OSError(errno.EIO, "made to fail", chosen)

    def stopping_add(self: StartedParts, part: str, *how: Any) -> None:
        add(self, part, *how)
        if part == chosen and sys._getframe(1).f_code.co_name != "begin":
            heed(sys.stdin.readline())

    async def stopping_begin(self: StartedParts, part: str, *how: Any) -> object:
        done = await begin(self, part, *how)
        if part == chosen:
            print("begun", flush=True)
            await asyncio.sleep(0.5)  # so that a key is made, or is just being made
            heed(await asyncio.to_thread(sys.stdin.readline))
        return done

    mock.patch.multiple(StartedParts, add=stopping_add, begin=stopping_begin).start()


if __name__ == "__main__":
    _born(socket.socket(fileno=int(sys.argv[1])))
    main.main()
