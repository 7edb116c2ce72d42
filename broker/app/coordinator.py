"""The coordinator: the process that has what a broker has once on its machine, for all its workers.

Knows: what a worker may ask for, and what becomes of one that is gone. Must not know: calls; no byte that a
caller has sent comes here.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from functools import partial
from socket import recv_fds, send_fds, socket

import orjson
import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from broker.adapters.clock import SystemClock
from broker.adapters.coordination import Channel, Members, lease_members
from broker.adapters.process import status_of
from broker.adapters.telemetry.merged import DepartedMetrics, merged_text
from broker.app.machine import MachineParts, OwnMachine
from broker.app.parts import LONG_STEP_SECONDS, StartedParts
from broker.app.policy import recording, served_bundle
from broker.config import Settings
from broker.console.app import ConsoleApp, Status
from broker.errors import BrokerError, Kind
from broker.listeners.https.server import HttpServer
from broker.listeners.sockets import BoundSocket
from broker.model.decision import PolicyVersion
from broker.model.process import ProcessStatus

TELL_SECONDS = 0.5
METRICS_SECONDS = 1.0
DRAIN_SECONDS = 20.0
_MESSAGE_BYTES = 1024 * 1024


@dataclass(slots=True)
class AdmittedWorker:
    """A worker, as its coordinator knows it."""

    number: int
    channel: Channel = field(repr=False)
    serving: bool = False
    pid: int = 0
    calls: int = 0
    unready: str = "it starts"
    trouble: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    metrics: bytes = field(default=b"", repr=False)


class Coordinator:
    """Use: `await start()`, until `log_lost` is set, `await stop()`. On `admissions` the supervisor hands in
    workers' sockets; `told` is where it hears what it should know.
    """

    def __init__(self, settings: Settings, admissions: socket, console: BoundSocket, told: Channel) -> None:
        self._settings = settings
        self._admissions = admissions
        self._console = console
        self._told = told
        self._clock = SystemClock()
        self._registry = CollectorRegistry()
        Gauge("broker_ready", "1 while calls can be served", registry=self._registry).set_function(
            lambda: float(not self.unready())
        )
        self._parts = StartedParts()
        self._machine = OwnMachine(settings, self._clock, self._registry, partial(self._tell_all, "owners"))
        self._ruling: PolicyVersion | None = None
        self._workers: dict[int, AdmittedWorker] = {}
        self._departed = DepartedMetrics()
        self.log_lost = asyncio.Event()
        """Set when the log can no longer be made durable."""

    async def start(self) -> None:
        """Returns once workers may be admitted. Raises BrokerError, ConfigError and OSError; then, too,
        `stop` is due.
        """
        machine = self._of = await self._machine.open(self._parts)
        machine.ledger.failed.add_done_callback(lambda _future: self.log_lost.set())
        self._admissions.setblocking(False)
        asyncio.get_running_loop().add_reader(self._admissions.fileno(), self._admit)
        self._parts.run("keys' state", self._tell_workers(machine))
        server = self._settings.server
        facts = (("HTTPS", server.https), ("gRPC", server.grpc), ("AuditLog", self._settings.audit.origin))
        bundle = served_bundle(self._settings, self._clock)
        if bundle is not None:
            await self._parts.begin("bundle", bundle.start, bundle.aclose)
        status = Status(
            facts,
            self.unready,
            self._all_metrics,
            bundle=bundle.bundle if bundle is not None else lambda: None,
            policy=self._policy,
            processes=self._processes,
            trouble=self._trouble,
        )
        console = HttpServer(ConsoleApp(status), self._console, None)
        await self._parts.begin("console", console.start, console.stop, LONG_STEP_SECONDS)

    def state(self) -> Members:
        """How all of it is, for the supervisor."""
        return {"unready": self.unready()}

    async def drain(self) -> None:
        """Has all workers end, and waits for that: at most 20 s."""
        self._tell_all("stop")
        if self._workers:
            ends = [worker.channel.ended for worker in self._workers.values()]
            await asyncio.wait(ends, timeout=DRAIN_SECONDS)

    async def stop(self) -> None:
        """Closes the log: after the last worker has left."""
        asyncio.get_running_loop().remove_reader(self._admissions.fileno())
        for worker in list(self._workers.values()):
            await worker.channel.aclose()
        await self._parts.end()

    @property
    def log_vkey(self) -> str:
        """The verifier key of the log."""
        return self._of.ledger.vkey

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        serving = [worker for worker in self._workers.values() if worker.serving]
        if not self._of.ledger.ready:
            return "audit log"
        if not serving:
            return "workers"
        return min((worker.unready for worker in serving), key=bool)

    def _processes(self) -> tuple[ProcessStatus, ...]:
        workers = [
            status_of(f"worker {worker.number}", worker.pid, worker.calls)
            for worker in self._workers.values()
        ]
        return (
            status_of("supervisor", os.getppid()),
            status_of("coordinator", os.getpid()),
            status_of("log writer", self._of.writer_pid),
            *workers,
        )

    def _trouble(self) -> str:
        if trouble := self._of.state.trouble():
            return trouble
        return next((worker.trouble for worker in self._workers.values() if worker.trouble), "")

    def _policy(self) -> tuple[tuple[str, str], ...]:
        """Of the worker that has most to tell: what goes wrong is told beside the rest."""
        return max((worker.facts for worker in self._workers.values()), key=len, default=())

    def _admit(self) -> None:
        """A worker that the supervisor has started: its socket, and what to tell it."""
        try:
            message, numbers, _, _ = recv_fds(self._admissions, _MESSAGE_BYTES, 1)
        except (BlockingIOError, InterruptedError):
            return
        if not numbers:
            asyncio.get_running_loop().remove_reader(self._admissions.fileno())
            return
        asked, theirs = orjson.loads(message), socket(fileno=numbers[0])
        token_key = self._of.token_key
        told = {
            **asked,
            "token_key": token_key.verifier.public_bytes.hex(),
            "certification": token_key.certification,
        }
        try:
            with self._machine.writer.admit() as writer:
                send_fds(theirs, [orjson.dumps(told) + b"\n"], [writer.fileno()])
        except OSError:
            theirs.close()
            return
        asyncio.ensure_future(self._serve(int(asked["worker"]), theirs))  # noqa: RUF006 - it ends with its socket

    async def _serve(self, number: int, theirs: socket) -> None:
        """From its first word to its last."""
        channel = Channel(self._answer, lambda what, members: self._hear(worker, what, members))
        worker = AdmittedWorker(number, channel)
        await channel.open(theirs)
        self._workers[number] = worker
        channel.tell("keys", unready=self._of.keys.unready(), trouble=self._of.keys.trouble())
        await channel.ended
        del self._workers[number]
        self._machine.worker_left()
        self._departed.add(worker.metrics)

    async def _answer(self, what: str, members: Members) -> Members:
        match what, members:
            case "lease", {"credential": str() as credential}:
                return lease_members(await self._of.keys.lease(credential))
            case "activating", {"revision": str() as revision, "sha256": str() as digest}:
                await self._activating(PolicyVersion(revision, digest))
                return {}
            case "sign_token", {"claims": str() as claims}:
                return {"token": await self._of.token_key.sign(claims.encode())}
        raise BrokerError(Kind.INTERNAL, "The coordinator was asked what it does not know.")

    def _hear(self, worker: AdmittedWorker, what: str, members: Members) -> None:
        match what, members:
            case "serving", {"pid": int() as pid}:
                worker.serving, worker.pid = True, pid
                self._told.tell("serving", worker=worker.number)
            case "report", {
                "unready": str() as unready,
                "trouble": str() as trouble,
                "calls": int() as calls,
            }:
                worker.unready, worker.trouble, worker.calls = unready, trouble, calls
                worker.facts = _facts(members["facts"])
            case "leaving", {"metrics": str() as metrics}:
                worker.serving, worker.metrics = False, metrics.encode()
            case "revoke_key", {"credential": str() as credential}:
                self._of.keys.revoke(credential)
            case "key", {"news": list() as news}:
                self._tell_all("key", news=news, but=worker)
            case "charged", {"certificates": dict() as certificates}:
                self._tell_all("charged", certificates=certificates, but=worker)
            case "owners", _:
                self._tell_all("owners", but=worker)

    def _tell_all(self, what: str, but: AdmittedWorker | None = None, **members: object) -> None:
        for worker in self._workers.values():
            if worker is not but:
                worker.channel.tell(what, **members)

    async def _activating(self, version: PolicyVersion) -> None:
        """Recorded once, though each worker begins to use it."""
        if version != self._ruling:
            await recording(self._of.ledger)(version)
            self._ruling = version

    async def _tell_workers(self, machine: MachineParts) -> None:
        """How the keys are, as often as it may have changed."""
        last = ("", "")
        while True:
            now = machine.keys.unready(), machine.keys.trouble()
            if now != last:
                self._tell_all("keys", unready=now[0], trouble=now[1])
            last = now
            await self._clock.sleep(TELL_SECONDS)

    async def _all_metrics(self) -> bytes:
        """Of all processes, those that are gone included."""
        await asyncio.gather(*(self._ask_metrics(worker) for worker in self._workers.values()))
        theirs = [worker.metrics for worker in self._workers.values()]
        return merged_text([generate_latest(self._registry), self._departed.text, *theirs])

    async def _ask_metrics(self, worker: AdmittedWorker) -> None:
        """What it told last stands where it does not answer."""
        try:
            async with asyncio.timeout(METRICS_SECONDS):
                worker.metrics = str((await worker.channel.ask("metrics"))["metrics"]).encode()
        except (BrokerError, TimeoutError):
            structlog.get_logger().warning("worker_silent", worker=worker.number)


def _facts(told: object) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(text)) for name, text in told) if isinstance(told, list) else ()
