"""10,000 calls over five lives of a broker, four of them ended by SIGKILL at random moments: two with the
process that writes the log, two without it.

`python -m tests.e2e.kill --calls 10000` runs it and prints what it found; `test_kill.py` runs a shorter one.
The simulator is a process of its own and stays up, so what it received can be compared with the log.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from broker.model.record import RecordType
from broker.tlog.entry import Entry
from tests.e2e.records import by_call, verify
from tests.e2e.upstreams import received, simulator_process
from tests.ledger.support import fsck
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

KILLS = 4
CLIENTS = 16
STREAM_EVERY = 3
MODEL = "gpt-4o-mini-sim-slow-stream:2/words:4"  # streams last long enough to be killed in
LAST_WAIT_SECONDS = 0.03
Say = Callable[[str], None]


@dataclass
class Seen:
    """What the callers saw: call ids of replies that began, and of those that came whole."""

    begun: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    broken: int = 0
    other: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Findings:
    """What must hold, counted. `lost`, `unannounced`, `late` and `unclosed` must be 0."""

    calls: int
    seen: Seen
    upstream: int
    closed_by: Counter[str]
    lost: int
    unannounced: int
    late: int
    unclosed: int
    verify_code: int
    fsck: str
    seconds: float

    @property
    def good(self) -> bool:
        bad = self.lost + self.unannounced + self.late + self.unclosed + self.verify_code
        return not bad and "Successfully fsck'd" in self.fsck and not self.seen.other

    def lines(self) -> list[str]:
        seen = self.seen
        return [
            f"{self.calls} calls in {self.seconds:.1f} s over {KILLS + 1} lives: {len(seen.whole)} came "
            f"whole, {seen.broken} were broken off, other answers {dict(seen.other)}",
            f"acknowledged records lost: {self.lost}",
            f"upstream calls {self.upstream}, without an intent: {self.unannounced}, before it: {self.late}",
            f"intents closed by {dict(self.closed_by)}, not closed exactly once: {self.unclosed}",
            f"broker audit verify: exit {self.verify_code}",
            f"fsck: {self.fsck.strip().splitlines()[-1]}",
        ]


class Callers:
    """The load: takes call numbers until they are used up, whichever life of the broker is up."""

    def __init__(self, calls: int, progress: Callable[[int], None]) -> None:
        self.seen = Seen()
        self.started = 0
        self._calls = calls
        self._progress = progress
        self._up = asyncio.Event()
        self._moment, self._reached = 0, asyncio.Event()
        self._clients: list[httpx.AsyncClient] = []
        self._token = ""

    async def serve(self, broker: RunningBroker) -> None:
        """A broker is up: calls go to it from now on."""
        self._token = await asyncio.to_thread(broker.token, "explorer")
        client = httpx.AsyncClient(base_url=broker.https, verify=broker.tls("explorer"), timeout=30)
        self._clients.append(client)
        self._up.set()

    def killed(self) -> None:
        """It is gone: callers wait for the next."""
        self._up.clear()

    async def reach(self, moment: int) -> None:
        """Returns once that many calls have been started."""
        self._moment = moment
        self._reached.clear()
        if self.started < moment:
            await self._reached.wait()

    async def run(self) -> None:
        """All calls, by `CLIENTS` callers at once."""
        await asyncio.gather(*(self._caller() for _ in range(CLIENTS)))
        for client in self._clients:
            await client.aclose()

    async def _caller(self) -> None:
        while self.started < self._calls:
            await self._up.wait()
            number = self.started
            self.started += 1
            self._progress(self.started)
            if self.started >= self._moment:
                self._reached.set()
            try:
                await self._call(number)
            except httpx.TransportError:
                self.seen.broken += 1
                await asyncio.sleep(0.01)

    async def _call(self, number: int) -> None:
        stream = number % STREAM_EVERY == 0
        message = {"role": "user", "content": f"call {number}"}
        body = {"model": MODEL, "messages": [message], "stream": stream, "max_tokens": 20}
        headers = {"authorization": f"Bearer {self._token}"}
        async with self._clients[-1].stream(
            "POST", "/v1/chat/completions", json=body, headers=headers
        ) as reply:
            if reply.status_code != httpx.codes.OK:
                self.seen.other[reply.status_code] += 1
                return
            call_id = reply.headers["x-broker-call-id"]
            self.seen.begun.add(call_id)
            text = await _text(reply)
            if not stream or text.endswith("data: [DONE]\n\n"):
                self.seen.whole.add(call_id)
            else:
                self.seen.broken += 1


async def _text(reply: httpx.Response) -> str:
    return "".join([part async for part in reply.aiter_text()])


async def _lives(callers: Callers, calls: int, start: Callable[[], RunningBroker], say: Say) -> RunningBroker:
    """Five lives: four are killed at a random moment of their share of the calls, the last one goes on."""
    chance = random.Random()  # noqa: S311 - moments, not secrets
    share = calls // (KILLS + 1)
    for life in range(KILLS):
        broker = await asyncio.to_thread(start)
        await callers.serve(broker)
        moment = life * share + chance.randrange(share // 4, share)
        await callers.reach(moment)
        await asyncio.sleep(chance.uniform(0, LAST_WAIT_SECONDS))
        callers.killed()
        await asyncio.to_thread(broker.kill if life % 2 else broker.kill_all)
        say(f"life {life + 1} killed after {callers.started} calls")
    broker = await asyncio.to_thread(start)
    await callers.serve(broker)
    return broker


async def _load(calls: int, start: Callable[[], RunningBroker], say: Say) -> Seen:
    callers = Callers(calls, lambda done: say(f"{done} calls") if done % 1000 == 0 else None)
    load = asyncio.create_task(callers.run())
    broker = await _lives(callers, calls, start, say)
    try:
        await load
    finally:
        await asyncio.to_thread(broker.stop)
    return callers.seen


def run(home: Path, calls: int, say: Say) -> Findings:
    """The whole run in `home`, and what the log says of it afterwards."""
    key = home / "upstream.key"
    key.write_text("sk-kill-0123456789abcdefghijklmnop")
    began = time.monotonic()
    with simulator_process(key) as url:

        def start() -> RunningBroker:
            upstream = ("--upstream", f"{url}/v1", "--upstream-key-file", str(key))
            return start_broker(home / "b", *upstream, *SMALL_POLICIES)

        seen = asyncio.run(_load(calls, start, say))
        at_upstream = received(url)["entries"]
    seconds = time.monotonic() - began
    return _compared(home / "b", calls, seen, at_upstream, seconds)


def _compared(
    directory: Path, calls: int, seen: Seen, at_upstream: list[dict[str, Any]], seconds: float
) -> Findings:
    log = by_call(directory / "log")
    intents = {call_id: one for call_id in log if (one := _first(log[call_id], RecordType.INTENT))}
    arrived = [(entry["time_ns"], entry["headers"]["x-client-request-id"]) for entry in at_upstream]
    closing = {call_id: _closing(log[call_id]) for call_id in intents}
    late = [i for at, i in arrived if i in intents and intents[i].place.time_us * 1000 > at]
    return Findings(
        calls=calls,
        seen=seen,
        upstream=len(arrived),
        closed_by=Counter(kind for kinds in closing.values() for kind in kinds),
        lost=len(seen.begun - set(intents)) + sum(closing.get(i) != ["outcome"] for i in seen.whole),
        unannounced=sum(call_id not in intents for _, call_id in arrived),
        late=len(late),
        unclosed=sum(len(kinds) != 1 for kinds in closing.values()),
        verify_code=verify(directory / "log").returncode,
        fsck=fsck(directory),
        seconds=seconds,
    )


def _first(entries: list[Entry], kind: RecordType) -> Entry | None:
    return next((entry for entry in entries if entry.record.type is kind), None)


def _closing(entries: list[Entry]) -> list[str]:
    kinds = (RecordType.OUTCOME, RecordType.RECOVERED)
    return [entry.record.type.value for entry in entries if entry.record.type in kinds]


def main() -> int:
    """Exit 0 only when nothing was lost."""
    parser = argparse.ArgumentParser("python -m tests.e2e.kill", description="Calls, kills, and the log.")
    parser.add_argument("--calls", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="broker-kill-") as home:
        found = run(Path(home), arguments.calls, lambda line: print(line, flush=True))
    print("\n".join(found.lines()))
    print("kill: nothing lost" if found.good else "kill: FAILED")
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
