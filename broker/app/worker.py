"""A worker: one of the processes that serve a broker's calls, and what it has from its coordinator.

Knows: how it is admitted, and what it asks for. Must not know: where keys come from, who signs.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from socket import recv_fds, socket

import orjson

from broker.adapters.clock import SystemClock
from broker.adapters.coordination import Channel, CoordinatedKeys, Members
from broker.adapters.ledger.access import JoinedWriter
from broker.adapters.telemetry import NativeLines
from broker.app.addresses import SharedAddresses
from broker.app.broker import Broker, WorkerPlace
from broker.app.certificates import Certificates
from broker.app.machine import MachineParts, TokenKey
from broker.app.objects import OwnedObjects
from broker.app.parts import LONG_STEP_SECONDS, StartedParts
from broker.app.state import log_of, share_limits
from broker.config import Settings
from broker.errors import BrokerError, Kind
from broker.identity.token import TokenVerifier, public_key
from broker.model.decision import PolicyVersion
from broker.model.pool import KeyNews

REPORT_SECONDS = 0.5
_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkerAdmission:
    """What a worker is told when it begins. `writer` is a socket to the log's writer."""

    settings: Settings
    addresses: SharedAddresses
    token_key: bytes
    certification: str | None
    writer: socket
    coordinator: socket

    @classmethod
    def receive(cls, coordinator: socket, https_file_descriptor: int) -> WorkerAdmission:
        """Waits for it. Blocking. Raises OSError where the coordinator is gone."""
        line, files = b"", list[int]()
        while not line.endswith(b"\n"):
            data, numbers, _, _ = recv_fds(coordinator, _LINE_BYTES, 1)
            if not data:
                raise ConnectionResetError("the coordinator is gone")
            line, files = line + data, files + numbers
        told = orjson.loads(line)
        return cls(
            Settings.model_validate(told["settings"]),
            SharedAddresses(https_file_descriptor, told["https"], told["grpc"]),
            bytes.fromhex(told["token_key"]),
            told["certification"],
            socket(fileno=files[0]),
            coordinator,
        )


class Worker:
    """Use: `await start()`, serve until `log_lost` is set, `await stop()`."""

    def __init__(self, admitted: WorkerAdmission, native: NativeLines) -> None:
        self._admitted = admitted
        self._clock = SystemClock()
        self._channel = Channel(self._answer, self._hear)
        self._keys = CoordinatedKeys(self._channel, self._clock)
        self._objects = OwnedObjects(admitted.settings, self._clock, lambda: self._channel.tell("owners"))
        self._broker = Broker(admitted.settings, native, WorkerPlace(admitted.addresses, self))
        self._reporting: asyncio.Task[None] | None = None
        self.log_lost = self._broker.log_lost
        """Set when it can serve no more: the log is lost, or the coordinator is gone."""

    async def start(self) -> None:
        """Returns once calls are accepted. Raises BrokerError or OSError; then, too, `stop` is due."""
        await self._channel.open(self._admitted.coordinator)
        self._channel.ended.add_done_callback(lambda _future: self.log_lost.set())
        await self._broker.start()
        self._channel.tell("serving", pid=os.getpid())
        self._reporting = asyncio.create_task(self._report())

    async def stop(self) -> None:
        """Stops accepting, lets calls end, and says goodbye."""
        if self._reporting is not None:
            self._reporting.cancel()
        await self._broker.stop()
        self._channel.tell("leaving", metrics=self._broker.metrics().decode())
        await self._channel.aclose()

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        return self._broker.unready()

    async def open(self, parts: StartedParts) -> MachineParts:
        """See Machine: the coordinator has what a machine has once."""
        settings, admitted = self._admitted.settings, self._admitted
        certificates = Certificates(settings, self._clock, None)
        tls = await parts.begin("certificates", certificates.open, certificates.aclose)
        owners = self._objects.owners
        await parts.begin("owners", owners.open, owners.close)
        ledger = log_of(settings, JoinedWriter(admitted.writer), self._clock)
        await parts.begin("log", ledger.open, ledger.close, LONG_STEP_SECONDS)
        limits = await share_limits(settings, ledger, self._clock, parts)
        verifier = TokenVerifier(
            public_key(admitted.token_key), settings.identity.issuer, settings.identity.audience
        )
        token_key = TokenKey(verifier, self._sign, admitted.certification)
        return MachineParts(
            self._keys,
            tls,
            ledger,
            limits,
            owners,
            token_key,
            tell_of_key=self._tell_of_key,
            activating=self._activating,
        )

    async def _activating(self, version: PolicyVersion) -> None:
        await self._channel.ask("activating", revision=version.revision, sha256=version.sha256)

    def _tell_of_key(self, news: KeyNews) -> None:
        self._channel.tell("key", news=list(news))

    async def _sign(self, claims: bytes) -> str:
        return str((await self._channel.ask("sign_token", claims=claims.decode()))["token"])

    async def _report(self) -> None:
        broker = self._broker
        while True:
            self._channel.tell(
                "report",
                unready=broker.unready(),
                trouble=broker.trouble(),
                calls=broker.calls,
                facts=[list(fact) for fact in broker.policy_facts()],
            )
            if charged := broker.charged():
                self._channel.tell("charged", certificates=charged)
            await self._clock.sleep(REPORT_SECONDS)

    async def _answer(self, what: str, _members: Members) -> Members:
        if what == "metrics":
            return {"metrics": self._broker.metrics().decode()}
        raise BrokerError(Kind.INTERNAL, "A worker was asked what it does not know.")

    def _hear(self, what: str, members: Members) -> None:
        if what == "keys":
            self._keys.told(str(members["unready"]), str(members["trouble"]))
        elif what == "key" and isinstance(news := members["news"], list):
            self._broker.hear_of_key(KeyNews(*news))
        elif what == "charged" and isinstance(certificates := members["certificates"], dict):
            self._broker.hear_of_charged(certificates)
        elif what == "stop":
            self.log_lost.set()
        elif what == "owners":
            self._objects.owners.look_again()
