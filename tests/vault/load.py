"""A steady load of chats on a serving broker, and what became of each call.

Knows: HTTP/1.1 over TLS, as thin as it can be, so that the load leaves the processors to the broker.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from tests import plain
from tests.e2e.upstreams import received
from tests.running import RunningBroker
from tests.vault.server import RealVault

CONNECTIONS = 32
KEYS = tuple(f"sk-rotation-000000000-{number:04}" for number in range(1, 13))
"""The upstream's journal tells keys apart by their last four characters."""


@dataclass(frozen=True)
class Call:
    """When a caller sent it (time.monotonic), its id and the status that came."""

    began: float
    call_id: str
    status: int


@dataclass
class Rotations:
    """When each version of the key had been written (time.monotonic)."""

    done: dict[int, float] = field(default_factory=dict)

    async def rotate(self, server: RealVault, times: int, seconds: float) -> None:
        """Further keys, evenly within `seconds`."""
        for version in range(2, times + 2):
            await asyncio.sleep(seconds / (times + 1))
            await self.write(server, version)

    async def write(self, server: RealVault, version: int) -> None:
        """That version's key."""
        await asyncio.to_thread(server.put, "openai", KEYS[version - 1])
        self.done[version] = time.monotonic()

    def outdated(self, call: Call, version: int) -> bool:
        """Whether the call began over a second after its key had been replaced."""
        replaced = self.done.get(version + 1)
        return replaced is not None and call.began > replaced + 1.0


async def steady(broker: RunningBroker, rate: int, seconds: float) -> list[Call]:
    """`rate` chats a second, begun when they are due however the earlier ones do."""
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    opened = [await _Connection.open(broker) for _ in range(CONNECTIONS)]
    for connection in opened:
        free.put_nowait(connection)
    calls: list[Call] = []
    running: set[asyncio.Task[None]] = set()
    began = due = time.monotonic()
    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        connection = await free.get()
        task = asyncio.create_task(_one(connection, free, calls))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1 / rate
    await asyncio.gather(*running)
    for connection in opened:
        connection.writer.close()
    return calls


async def _one(connection: _Connection, free: asyncio.Queue[_Connection], calls: list[Call]) -> None:
    calls.append(await connection.call())
    free.put_nowait(connection)


@dataclass
class _Connection:
    """One kept-alive connection, for one call at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    request: bytes

    @classmethod
    async def open(cls, broker: RunningBroker) -> _Connection:
        address = httpx.URL(broker.https)
        context: ssl.SSLContext = broker.tls("assistant")
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        message = {"role": "user", "content": "hi"}
        body = json.dumps({"model": "gpt-4o-mini", "messages": [message], "max_tokens": 4}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address.host}\r\n"
            f"authorization: Bearer {broker.token('assistant')}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return cls(reader, writer, head.encode() + body)

    async def call(self) -> Call:
        began = time.monotonic()
        self.writer.write(self.request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        await self.reader.readexactly(int(fields["content-length"]))
        return Call(began, fields["x-broker-call-id"], int(head[0].split()[1]))


def versions(broker: RunningBroker) -> dict[str, int]:
    """Which version of the key each call bore, by call id, as the upstream saw it."""
    return {
        entry["headers"]["x-client-request-id"]: int(entry["key_last4"])
        for entry in received(broker.upstream)["entries"]
    }


def lease_counts(broker: RunningBroker) -> dict[float, float]:
    """Leases so far, by the longest they took (seconds), as the broker's metrics tell."""
    text = plain.get(f"{broker.console}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("broker_lease_seconds_bucket")]
    return {float(line.split('"')[1]): float(line.split()[-1]) for line in lines}


def within(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float:
    """The bucket (seconds) that `share` of the leases between two readings stayed within."""
    total = max(after.values()) - max(before.values())
    return min(top for top in after if after[top] - before[top] >= share * total)


def asked(server: RealVault, since: int) -> dict[str, int]:
    """How often brokers read keys and versions, in Vault's audit log from its entry `since` on."""
    read = [entry["path"] for entry in server.audited()[since:] if entry["operation"] == "read"]
    return {what: sum(f"/{what}/" in path for path in read) for what in ("data", "metadata")}
