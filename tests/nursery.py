"""Where processes are born: one has loaded all that brokers load, and each is a copy of it.
`python -m tests.nursery FD` with a socket there that is told of each.

Knows: how a copy gets its session, streams, environment and words. From then on it is what the program is, to
the end of its interpreter. A start of its own would load the same for most of the time that it takes. What
policies one of them has tried the others do not try again.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TextIO

from broker.catalog.vocabulary import load_vocabularies
from broker.prefilter.inspector import Inspector
from tests.births import ASKING, MOST_BYTES, PART, TRIAL, Asked, Births
from tests.commands import Done
from tests.trials import SHARED, shared_trials, tried_once

BROKER = "broker.cli.main"
SIMULATOR = "broker.simulator.__main__"
STDERR = 2
_LOADED = (BROKER, SIMULATOR, PART, TRIAL, "broker.cli.dev", "broker.app.from_vault", "broker.adapters.opa")
_STREAMS = (0, 1, 2)
_STDIN = 0
_APART = 200
"""More than any descriptor that a child is to have."""
_MOST_DESCRIPTORS = 16
_PRELOADED = "GRPC_VERBOSITY"
"""Set before grpc is loaded, as `broker serve` does; what is born keeps it."""


@dataclass
class Born:
    """A process, and our ends of its standard streams; its methods mean what Popen's mean."""

    args: tuple[str, ...]
    pid: int
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO | None
    _end: socket.socket
    returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # its end is not told yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: str = "", timeout: float = 60) -> tuple[str, str]:  # noqa: A002 - as Popen
        """Tells it that, and waits for its end: all that it still says on its output, and on its errors."""
        patience = threading.Timer(timeout, os.killpg, (self.pid, signal.SIGKILL))
        patience.start()
        with suppress(BrokenPipeError), self.stdin:
            self.stdin.write(input)
        assert self.stderr is not None
        with self.stdout, self.stderr:
            said, errors = self.stdout.read(), self.stderr.read()
        self.wait()
        patience.cancel()
        return said, errors

    def done(self, input: str = "", timeout: float = 60) -> Done:  # noqa: A002 - as Popen
        """Tells it that, and waits for its end, which is to come by itself."""
        said, errors = self.communicate(input, timeout)
        return Done(self.wait(), said, errors)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._end.settimeout(timeout)
            with suppress(TimeoutError, BlockingIOError):
                self.returncode = json.loads(self._end.recv(MOST_BYTES))
                self._end.close()
        return self.returncode


class Nursery(Births):
    """Its children live side by side. They end with it."""

    def command(self, folder: Path) -> dict[str, str]:
        """Puts a `broker` there that is born here; what a shell's environment is to have beside it. The shell
        is to be given the descriptor `NURSERY`.
        """
        script = Path(__file__).with_name("born_broker.py").read_text()
        (folder / "broker").write_text(f"#!{sys.executable} -ISE\n{script}")
        (folder / "broker").chmod(0o755)
        return {ASKING: str(self.fileno())}

    def spawn(
        self,
        *words: str,
        program: str = BROKER,
        first: str = "",
        environment: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> Born:
        """`broker WORDS` in a session of its own, or another program that is loaded, once `first` has run.
        Its environment is ours or the one given, its errors go to a pipe or to the descriptor `stderr`.
        """
        ours, given = _pipes(stderr)
        environment = dict(os.environ if environment is None else environment)
        pid, end = self.bear(Asked(program, words, first, os.getcwd(), environment), given)
        for each in given:
            os.close(each)
        stdin, stdout, *errors = ours
        return Born((program, *words), pid, stdin, stdout, errors[0] if errors else None, end)


def _pipes(stderr: int | None) -> tuple[list[TextIO], list[int]]:
    """Our ends of three standard streams, or of two, and the child's ends of all."""
    (stdin, ours_in), (ours_out, stdout) = os.pipe(), os.pipe()
    ours: list[TextIO] = [os.fdopen(ours_in, "w"), os.fdopen(ours_out)]
    if stderr is not None:
        return ours, [stdin, stdout, os.dup(stderr)]
    ours_err, errors = os.pipe()
    return [*ours, os.fdopen(ours_err)], [stdin, stdout, errors]


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A new one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", __name__, str(theirs.fileno())]
    passed = [ours.fileno(), theirs.fileno()]
    with nullcontext() if SHARED in os.environ else shared_trials():
        told = {**os.environ, _PRELOADED: "INFO", ASKING: str(ours.fileno()), "PYTHONUNBUFFERED": "1"}
        with (
            subprocess.Popen(
                command, stdin=subprocess.PIPE, pass_fds=passed, env=told, start_new_session=True
            ),  # which ends with its standard input
            ours,
        ):
            theirs.close()
            yield Nursery(ours)


@lru_cache(maxsize=1)
def the_nursery() -> Nursery:
    """This process's own, begun for the first who asks, and ended with the process."""
    begun = ExitStack()
    atexit.register(begun.close)
    begun_here = begun.enter_context(nursery())
    os.environ[ASKING] = str(begun_here.fileno())
    return begun_here


class _Living:
    """The children that have not ended, each by a descriptor that tells its end, and who is told of it."""

    def __init__(self) -> None:
        self._each: dict[int, tuple[int, socket.socket]] = {}

    def add(self, pid: int, told: socket.socket) -> None:
        told.send(json.dumps(pid).encode())
        self._each[os.pidfd_open(pid)] = pid, told

    def wait(self, asked: socket.socket) -> None:
        """Returns once something is asked; until then it tells of those that end. When this process's
        standard input ends, all do.
        """
        while asked.fileno() not in (ready := self._ready(asked)):
            if _STDIN in ready:
                self.kill()
                sys.exit()
            for each in ready:
                pid, told = self._each.pop(each)
                os.close(each)
                with told, suppress(BrokenPipeError):
                    told.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())

    def _ready(self, asked: socket.socket) -> list[int]:
        return select.select([asked.fileno(), _STDIN, *self._each], [], [])[0]

    def kill(self) -> None:
        for pid, _ in self._each.values():
            os.kill(pid, signal.SIGKILL)

    def forget(self) -> None:
        """In a child: they are its siblings."""
        for each, (_, told) in self._each.items():
            os.close(each)
            told.close()


def _born(asked: socket.socket) -> Callable[[], int | None]:
    """Returns in each child: the program that it is to be."""
    living = _Living()
    while True:
        living.wait(asked)
        message, received, _, _ = socket.recv_fds(asked, MOST_BYTES, _MOST_DESCRIPTORS)
        *given, end = received
        told = socket.socket(fileno=end)
        pid = os.fork()
        if pid == 0:
            living.forget()
            asked.close()
            told.close()
            return _become(Asked(**json.loads(message)), given)
        for each in given:
            os.close(each)
        living.add(pid, told)


def _become(asked: Asked, given: list[int]) -> Callable[[], int | None]:
    os.setsid()
    _renumber(given, [*_STREAMS, *asked.passed])
    os.chdir(asked.folder)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("GRPC_", ASKING))}
    os.environ.clear()
    os.environ.update(asked.environment, **kept)
    sys.argv = ["broker", *asked.words]
    exec(asked.first, {})  # noqa: S102 - a test's own
    program: Callable[[], int | None] = import_module(asked.program).main
    return program


def _renumber(given: list[int], wanted: list[int]) -> None:
    """By way of numbers that are neither: each may be another's."""
    apart = [fcntl.fcntl(each, fcntl.F_DUPFD, _APART) for each in given]
    for each in given:
        os.close(each)
    for each, number in zip(apart, wanted, strict=True):
        os.dup2(each, number)
        os.close(each)


def _load() -> None:
    """What every broker would load and compile again."""
    gc.disable()
    for module in _LOADED:
        import_module(module)
    load_vocabularies()
    Inspector((), None)
    gc.collect()
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    _load()
    with tried_once():
        sys.exit(_born(socket.socket(fileno=int(sys.argv[1])))())
