"""The supervisor of a broker of several processes: starts them, watches them, replaces workers, ends all.

Knows: processes, the addresses that they share, the order in which they begin and end. Must not know: a key,
or any byte that a caller sends: it has neither.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from itertools import count
from socket import AF_UNIX, SOCK_SEQPACKET, send_fds, socket, socketpair

import orjson
import structlog

from broker.adapters.coordination import Channel, Members
from broker.config import Settings
from broker.errors import BrokerError, ConfigError, Kind
from broker.listeners.sockets import BoundSocket

WORKERS_END_SECONDS = 17.0
COORDINATOR_ENDS_SECONDS = 7.0
SERVING_SECONDS = 60.0
"""How long a worker may take until it serves."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
_STABLE_SECONDS = 10.0
_LOOK_SECONDS = 0.1


class StartedWorker:
    """A worker's process, from its start on. `serving` is set when it accepts calls."""

    def __init__(self, number: int, process: Process) -> None:
        self.number = number
        self.process = process
        self.serving = asyncio.Event()
        self.leaving = False

    def leave(self) -> None:
        """Has it end: it accepts no more, and calls under way may end."""
        self.leaving = True
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)


class Supervisor:
    """`start`, until `log_lost`, `stop`: see session.Served. `reload` gives the newest settings for workers
    that are begun from then on.
    """

    def __init__(self, settings: Settings, workers: int, reload: Callable[[], Settings]) -> None:
        self._settings = settings
        self._many = workers
        self._reload = reload
        self._numbers = count(1)
        self._workers: dict[int, StartedWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._missing = "it starts"
        self._channel = Channel(_nothing_to_answer, self._hear)
        self._coordinator: Process | None = None
        self._sockets: list[BoundSocket] = []
        self._log = structlog.get_logger()
        self.log_lost = asyncio.Event()
        """Set when the log can no longer be made durable: end all, start again."""

    async def start(self) -> None:
        """Returns once all workers accept calls. Raises BrokerError, ConfigError and OSError; then, too,
        `stop` is due.
        """
        server = self._settings.server
        self._https = self._held(BoundSocket(server.https))
        self._grpc = self._held(BoundSocket(server.grpc, shared=True))
        console = self._held(BoundSocket(server.console))
        self.https_url = f"https://{self._https.address}"
        self.grpc_address = self._grpc.named
        self.console_url = f"http://{console.address}"
        self.log_vkey = await self._start_coordinator(console)
        first = [await self._begin() for _ in range(self._many)]
        for worker in first:
            self._run(self._keep(worker))
        await self._all_serve(first)
        await self._look()
        self._run(self._look_on())
        self._log.info("started", https=self.https_url, grpc=self.grpc_address, workers=self._many)

    async def stop(self) -> None:
        """Workers first: their calls may end, and are recorded; then the log."""
        self._stopping = True
        for worker in self._workers.values():
            worker.leave()
        ending = [asyncio.ensure_future(worker.process.wait()) for worker in self._workers.values()]
        if ending:
            await asyncio.wait(ending, timeout=WORKERS_END_SECONDS)
        for worker in self._workers.values():
            _kill(worker.process)
        for task in self._tasks:
            task.cancel()
        await self._stop_coordinator()
        for each in self._sockets:
            each.close()
        self._log.info("stopped")

    async def replace(self) -> None:
        """Each worker by one with the newest settings, one after the other: the old one leaves once the new
        one serves. Where the settings cannot be used, or one does not serve, all stays as it is.
        """
        try:
            self._settings = await asyncio.to_thread(self._reload)
        except (ConfigError, OSError) as error:
            self._log.error("workers_not_replaced", why=str(error))
            return
        for old in list(self._workers.values()):
            if old.leaving:
                continue
            new = await self._begin()
            if not await _serves(new):
                new.leave()
                self._log.error("workers_not_replaced", why="a new worker does not serve; see above")
                return
            self._run(self._keep(new))
            old.leave()
        self._log.info("workers_replaced", workers=self._many)

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        return self._missing

    def _run(self, work: Coroutine[object, object, None]) -> None:
        """Beside all else, until it is over or all is."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _held(self, bound: BoundSocket) -> BoundSocket:
        self._sockets.append(bound)
        return bound

    async def _start_coordinator(self, console: BoundSocket) -> str:
        """The verifier key of its log."""
        ours, theirs = socketpair()
        self._admissions, admissions = socketpair(AF_UNIX, SOCK_SEQPACKET)
        with theirs, admissions:
            passed = admissions.fileno(), console.socket.fileno()
            numbers = [str(number) for number in passed]
            arguments = "coordinator", *numbers, console.named
            self._coordinator = await _process(*arguments, stdin=theirs, pass_fds=passed)
        await self._channel.open(ours)
        self._channel.ended.add_done_callback(self._coordinator_gone)
        return _opened(await self._channel.ask("open", settings=self._settings.model_dump(mode="json")))

    def _coordinator_gone(self, _ended: object) -> None:
        if not self._stopping:
            self._log.error("coordinator_ended")
            self.log_lost.set()

    async def _stop_coordinator(self) -> None:
        if self._coordinator is None:
            return
        self._channel.tell("close")
        try:
            async with asyncio.timeout(COORDINATOR_ENDS_SECONDS):
                await self._coordinator.wait()
        except TimeoutError:
            _kill(self._coordinator)
        await self._channel.aclose()

    async def _begin(self) -> StartedWorker:
        """Starts a worker, which the coordinator admits."""
        number, https = next(self._numbers), self._https.socket.fileno()
        ours, theirs = socketpair()
        with ours, theirs:
            process = await _process("worker", str(https), stdin=theirs, pass_fds=(https,))
            worker = self._workers[number] = StartedWorker(number, process)
            asked = {
                "worker": number,
                "settings": self._settings.model_dump(mode="json"),
                "https": self._https.named,
                "grpc": self._grpc.named,
            }
            send_fds(self._admissions, [orjson.dumps(asked)], [ours.fileno()])
        return worker

    async def _keep(self, worker: StartedWorker) -> None:
        """Starts another one where it ends by itself: at once, and ever later where that goes on."""
        pause, loop = _FIRST_PAUSE_SECONDS, asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await worker.process.wait()
            del self._workers[worker.number]
            if worker.leaving or self._stopping:
                return
            pause = _FIRST_PAUSE_SECONDS if loop.time() - began > _STABLE_SECONDS else pause
            self._log.error("worker_ended", worker=worker.number, exit_code=code, again_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            worker = await self._begin()

    async def _all_serve(self, workers: list[StartedWorker]) -> None:
        if not all(await asyncio.gather(*map(_serves, workers))):
            raise BrokerError(
                Kind.INTERNAL,
                "A worker does not serve.",
                remedy="What it printed tells why; it needs what a broker of one process needs.",
            )

    async def _look(self) -> None:
        """Whether calls can be served, as the coordinator knows."""
        try:
            self._missing = str((await self._channel.ask("state"))["unready"])
        except BrokerError:
            self._missing = "the coordinator"

    async def _look_on(self) -> None:
        """Until they can: from then on the console tells, and nobody asks here."""
        while self._missing:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    def _hear(self, what: str, members: Members) -> None:
        match what, members:
            case "serving", {"worker": int() as number} if number in self._workers:
                self._workers[number].serving.set()


async def _process(*arguments: str, stdin: socket, pass_fds: tuple[int, ...]) -> Process:
    # -P: whatever lies in the working directory is not imported
    command = (sys.executable, "-P", "-m", "broker.app", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=stdin.fileno(), pass_fds=pass_fds)


async def _serves(worker: StartedWorker) -> bool:
    """Whether it comes to serve."""
    waits = [asyncio.ensure_future(worker.serving.wait()), asyncio.ensure_future(worker.process.wait())]
    await asyncio.wait(waits, timeout=SERVING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return worker.serving.is_set()


def _opened(told: Members) -> str:
    match told:
        case {"vkey": str() as vkey}:
            return vkey
        case {"config_error": str() as message}:
            raise ConfigError(message)
        case {"os_error": [number, text, name]}:
            raise OSError(number, text, name)
    raise TypeError("a coordinator that did not say what it opened")


def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()


async def _nothing_to_answer(_what: str, _members: Members) -> Members:
    raise BrokerError(Kind.INTERNAL, "A supervisor is asked nothing.")
