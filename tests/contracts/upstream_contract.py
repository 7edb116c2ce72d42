"""What every Upstream must do, at the simulated OpenAI: give its answer, and send nothing again that could
be carried out twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.secret import Lease, Secret
from broker.model.sends import Sends
from broker.ports import Upstream
from broker.simulator import Simulator
from tests.contracts.port_contract import PortContract
from tests.frames import shown

CHAT = "/v1/chat/completions"


class UpstreamSetup(Protocol):
    """An upstream under test that calls `simulator`, with a clock that does not wait."""

    simulator: Simulator

    @property
    def upstream(self) -> Upstream: ...

    @property
    def slept(self) -> list[float]:
        """What was waited for between attempts."""

    async def at(self, url: str) -> Upstream:
        """Another one that calls this server; closed at the end."""


@dataclass
class Asked:
    """One call, and how often it was sent."""

    rig: UpstreamSetup
    overrides: str = ""
    stream: bool = False
    method: str = "POST"
    path: str = CHAT
    is_only_key: bool = True
    sends: Sends = field(default_factory=Sends)

    async def answer(self) -> Reply | StreamReply:
        return await self.sent_by(self.rig.upstream)

    async def sent_by(self, upstream: Upstream) -> Reply | StreamReply:
        model = f"gpt-4o-mini-sim-{self.overrides}" if self.overrides else "gpt-4o-mini"
        document = {"model": model, "stream": self.stream, "messages": [{"role": "user", "content": "one"}]}
        body = json.dumps(document).encode() if self.method == "POST" else b""
        headers = (("content-type", "application/json"),)
        request = UpstreamRequest(self.method, self.path, body, headers, stream=self.stream)
        lease = Lease("sim:key", 1, Secret(self.rig.simulator.key), is_only_key=self.is_only_key)
        return await upstream.send(request, lease, self.sends)

    async def events(self) -> list[bytes]:
        answer = await self.answer()
        assert isinstance(answer, StreamReply)
        return [event async for batch in answer.events for event in batch]

    async def refused(self) -> BrokerError:
        with pytest.raises(BrokerError) as caught:
            await self.events()
        assert self.rig.simulator.key not in shown(caught.value)
        return caught.value


@asynccontextmanager
async def _hangs_up() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads a request and closes without a byte, and the requests that it read."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        requests.append(head.split(b"\r\n")[0])  # without the key, which is looked for in every frame
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()


class UpstreamContract(PortContract):
    """Needs a fixture `rig`: UpstreamSetup."""

    port = Upstream

    async def test_it_is_the_adapter_that_is_named(self, rig: UpstreamSetup) -> None:
        self.under_test(rig.upstream)

    @pytest.mark.parametrize(
        ("overrides", "status"), [("", 200), ("context-400", 400), ("401", 401), ("moderation-400", 400)]
    )
    async def test_an_answer_is_returned_whatever_its_status(
        self, rig: UpstreamSetup, overrides: str, status: int
    ) -> None:
        asked = Asked(rig, overrides)
        answer = await asked.answer()
        assert isinstance(answer, Reply)
        assert answer.status == status
        assert isinstance(json.loads(answer.body), dict)
        assert (asked.sends.begun, asked.sends.unanswered, rig.simulator.count, rig.slept) == (
            1,
            False,
            1,
            [],
        )

    async def test_it_is_sent_with_the_leased_key(self, rig: UpstreamSetup) -> None:
        lease = Lease("sim:key", 1, Secret("sk-of-nobody-0123456789"))
        request = UpstreamRequest("GET", "/v1/models", b"", (), stream=False)
        assert (await rig.upstream.send(request, lease, Sends())).status == 401
        assert (await Asked(rig, method="GET", path="/v1/models").answer()).status == 200

    @pytest.mark.parametrize(("overrides", "status"), [("429", 429), ("500", 500), ("503", 503)])
    async def test_what_may_pass_is_tried_again_with_growing_pauses_and_then_returned(
        self, rig: UpstreamSetup, overrides: str, status: int
    ) -> None:
        asked = Asked(rig, f"{overrides}/retry-after-ms:0")
        answer = await asked.answer()
        assert isinstance(answer, Reply)
        assert answer.status == status
        assert asked.sends.begun == rig.simulator.count == len(rig.slept) + 1 > 1
        assert not asked.sends.unanswered

    async def test_full_jitter_draws_each_pause_from_its_window(self, rig: UpstreamSetup) -> None:
        for _ in range(10):
            await Asked(rig, "503").answer()
        pauses = len(rig.slept) // 10
        for place in range(pauses):
            drawn = rig.slept[place::pauses]
            assert len({*drawn}) > 5
            assert all(0 <= pause <= 0.25 * 2**place for pause in drawn)

    async def test_the_wait_that_upstream_asks_for_is_kept_to(self, rig: UpstreamSetup) -> None:
        asked = Asked(rig, "429-then-ok:2/retry-after-ms:1500")
        assert (await asked.answer()).status == 200
        assert asked.sends.begun == 3
        assert [1.5 <= pause <= 2.0 for pause in rig.slept] == [True, True]

    async def test_a_429_is_not_waited_for_where_another_key_could_serve(self, rig: UpstreamSetup) -> None:
        asked = Asked(rig, "429", is_only_key=False)
        assert (await asked.answer()).status == 429
        assert (asked.sends.begun, rig.slept) == (1, [])

    async def test_events_are_whole_and_the_last_is_the_terminal_one(self, rig: UpstreamSetup) -> None:
        found = await Asked(rig, "words:20", stream=True).events()
        assert len(found) > 20
        assert all(event.endswith(b"\n\n") and event.count(b"\n\n") == 1 for event in found)
        assert found[-1] == b"data: [DONE]\n\n"
        assert all(json.loads(event[len(b"data: ") :])["object"] for event in found[:-1])

    @pytest.mark.parametrize("overrides", ["cut", "end-without-done"])
    async def test_a_stream_without_its_terminal_event_is_interrupted_and_not_tried_again(
        self, rig: UpstreamSetup, overrides: str
    ) -> None:
        asked = Asked(rig, overrides, stream=True)
        error = await asked.refused()
        assert error.kind is Kind.UPSTREAM_INTERRUPTED
        assert (asked.sends.begun, rig.simulator.count, rig.slept) == (1, 1, [])

    async def test_a_body_that_is_cut_is_not_tried_again(self, rig: UpstreamSetup) -> None:
        asked = Asked(rig, "cut")
        error = await asked.refused()
        assert error.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_INTERRUPTED)
        assert (asked.sends.begun, rig.simulator.count) == (1, 1)

    async def test_where_nobody_answers_it_is_told_and_nothing_counts_as_sent(
        self, rig: UpstreamSetup
    ) -> None:
        asked = Asked(rig)
        with pytest.raises(BrokerError) as caught:
            await asked.sent_by(await rig.at("http://127.0.0.1:9"))
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert caught.value.remedy
        assert (asked.sends.begun, asked.sends.unanswered) == (0, False)
        assert rig.simulator.key not in shown(caught.value)

    @pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
    async def test_what_may_have_been_carried_out_without_an_answer_is_not_sent_again(
        self, rig: UpstreamSetup, method: str
    ) -> None:
        """On a fresh connection; of one that had rested: tests/openai/test_sending.py."""
        async with _hangs_up() as (url, requests):
            asked = Asked(rig, method=method)
            with pytest.raises(BrokerError) as caught:
                await asked.sent_by(await rig.at(url))
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert (len(requests), asked.sends.begun, asked.sends.unanswered) == (1, 1, True)
        assert rig.simulator.key not in shown(caught.value)

    async def test_the_sending_of_a_call_that_is_cancelled_counts(self, rig: UpstreamSetup) -> None:
        asked = Asked(rig, "slow-first-byte:60000")
        calling = asyncio.ensure_future(asked.answer())
        async with asyncio.timeout(10):
            while not asked.sends.begun:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await calling
        assert (asked.sends.begun, asked.sends.unanswered) == (1, True)
        assert rig.simulator.key not in shown(caught.value)

    async def test_many_at_once_get_each_their_answer(self, rig: UpstreamSetup) -> None:
        answers = await asyncio.gather(*(Asked(rig, f"words:{number}").answer() for number in range(7, 27)))
        words = [
            len(json.loads(answer.body)["choices"][0]["message"]["content"].split())
            for answer in answers
            if isinstance(answer, Reply)
        ]
        assert words == list(range(7, 27))
