"""What reading records costs the callers: chat latency while four readers ask for one call each, on a long
log.

`python -m tests.bench.audit_reads [--entries 200000]` prints medians and p90 in milliseconds, and what a read
takes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import httpx

from broker.adapters.ledger.keys import LogKeys
from broker.gen.broker.v1 import audit_pb2, audit_pb2_grpc
from tests.e2e.upstreams import simulator_process
from tests.ledger.longlog import make
from tests.running import PROGRAM, RunningBroker, start_broker

READERS = 4
SECONDS = 5.0


async def _repeated(action: Callable[[], Awaitable[object]], until: float) -> list[float]:
    taken = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        await action()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _line(name: str, taken: list[float]) -> str:
    ordered = sorted(taken)
    p90 = ordered[int(len(ordered) * 0.9)]
    return f"{name:<34}{len(ordered):>6} {statistics.median(ordered):>8.1f} {p90:>8.1f} {ordered[-1]:>8.1f}"


async def _measure(broker: RunningBroker, entries: int) -> None:
    who = broker.identities["auditor"]
    credentials = grpc.ssl_channel_credentials(
        broker.ca.read_bytes(), who.key.read_bytes(), who.cert.read_bytes()
    )
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {broker.token('assistant')}"}
    async with (
        grpc.aio.secure_channel(broker.grpc, credentials) as channel,
        httpx.AsyncClient(base_url=broker.https, verify=broker.tls("assistant"), timeout=60) as client,
    ):
        audit = audit_pb2_grpc.AuditServiceStub(channel)

        async def chat() -> None:
            (await client.post("/v1/chat/completions", json=body, headers=headers)).raise_for_status()

        async def read() -> None:
            middle = f"call_{entries // 2 // 2000 * 2000 + 7:032x}"
            try:
                await audit.GetRecord(audit_pb2.GetRecordRequest(call_id=middle))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise

        async def checkpoint() -> None:
            await audit.GetCheckpoint(audit_pb2.GetCheckpointRequest())

        async def search() -> None:
            async for _ in audit.ListRecords(audit_pb2.ListRecordsRequest(user="nobody")):
                pass

        print(f"{'':<34}{'n':>6} {'p50 ms':>8} {'p90 ms':>8} {'max ms':>8}")
        await _repeated(chat, time.perf_counter() + 2)
        print(_line("chat alone", await _repeated(chat, time.perf_counter() + SECONDS)))
        lanes = (
            ("GetCheckpoint", checkpoint),  # what four busy clients cost, whatever they ask
            ("GetRecord", read),
            ("ListRecords that finds nothing", search),
        )
        for name, action in lanes:
            until = time.perf_counter() + SECONDS
            chats, *reads = await asyncio.gather(
                _repeated(chat, until), *(_repeated(action, until) for _ in range(READERS))
            )
            print(_line(f"chat beside {READERS} {name}", chats))
            print(_line(f"  {name}", [each for one in reads for each in one]))


def main() -> None:
    """The figures, with the index and while it is being made."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--entries", type=int, default=200_000)
    entries = arguments.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        home, key = Path(folder) / "b", Path(folder) / "key"
        key.write_text("sk-audit-0123456789abcdefghij")
        with simulator_process(key) as url:
            upstream = ("--upstream", f"{url}/v1", "--upstream-key-file", str(key))
            start_broker(home, *upstream, program=PROGRAM).stop()
            keys = home / "keys/log"
            origin = (home / "log/checkpoint").read_text().split("\n")[0]
            make(home / "log", entries, LogKeys.load_or_create(keys), keys, origin)
            for what in ("while the index is made", "with the index"):
                began = time.perf_counter()
                broker = start_broker(home, *upstream, program=PROGRAM)
                print(f"{what}: {entries} entries, started in {time.perf_counter() - began:.1f} s")
                try:
                    asyncio.run(_measure(broker, entries))
                finally:
                    broker.stop()


if __name__ == "__main__":
    main()
