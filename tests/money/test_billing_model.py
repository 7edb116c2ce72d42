"""Never less than OpenAI bills, more only while it is unknown: any call, any ending, a model of the bill."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import Any

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.charge import Unit
from broker.model.decision import Shape
from broker.model.operation import Operation
from broker.model.pool import Placement
from broker.shaping.delivered import FRAMING
from tests.money.billing import LONGEST, PRICES, REASONS, TIERS, WRITES, Work, bill
from tests.money.fakes import Till, event, interrupted, named, reply, streamed
from tests.sizes import sized

WORD = " the"  # one token of every vocabulary
DONE = event("[DONE]")
WINDOW = 1_050_000
"""The largest there is."""


class End(Enum):
    """How a call can end."""

    POLICY_REFUSES = "refused by a budget before it is sent"
    UNREACHABLE = "upstream cannot be reached"
    LOST = "the answer is lost"
    ERROR = "upstream answers with an error"
    WHOLE = "upstream says all, and its usage"
    UNCOUNTED = "upstream says all, but no usage"
    DOUBTFUL = "upstream says all, and a usage that cannot be"
    CALLER_LEAVES = "the caller leaves"
    TOKEN_ENDS = "the caller's token ends"
    UPSTREAM_BREAKS = "upstream breaks off"


@dataclass(frozen=True)
class Scenario:
    """One call: what is asked, what the model does, how it ends. `at`: behind how many events."""

    operation: Operation
    model: str
    pinned: str | None
    stream: bool
    asks_usage: bool
    cap: int | None
    words: tuple[int, ...]
    reasoning: int
    prompt: int
    cached: bool
    tier: str | None
    tier_served: str | None
    end: End
    status: int
    failures: int
    at: int
    runs_on: bool
    regional: bool
    written: bool
    heard: int
    speaks: bool

    @property
    def sounds(self) -> bool:
        """Whether audio goes in, which only chats take here."""
        return self.operation is Operation.CHAT and self.heard > 0

    @property
    def served(self) -> str:
        return self.pinned or self.model

    @property
    def answers(self) -> tuple[int, ...]:
        """Words of each answer, as long as the cap allows."""
        few = self.words if self.operation is Operation.CHAT else self.words[:1]
        most = max(few) if self.cap is None else self.cap - self.thought
        return tuple(min(words, most) for words in few)

    @property
    def thought(self) -> int:
        """Tokens of reasoning before each answer."""
        return min(self.reasoning, self.cap or self.reasoning) if self.served in REASONS else 0

    @property
    def tokens_in(self) -> int:
        return self.prompt + (self.heard if self.sounds else 0)

    def work(self, words: int) -> Work:
        """What was done when so many words of all answers had been written."""
        out = words + self.thought * len(self.answers)
        if self.operation is Operation.EMBEDDINGS:
            out = 0
        heard = self.heard if self.sounds else 0
        cached = self.prompt // 2 if self.cached else 0
        written = self.prompt - cached if self.written and self.served in WRITES else 0
        speaks = self.speaks and self.operation is Operation.CHAT
        return Work(self.tokens_in, cached, out, written, heard, min(words, out) if speaks else 0)


def tiers() -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, "auto", "default", "priority", "flex"])


scenarios = st.builds(
    Scenario,
    operation=st.sampled_from(
        [Operation.CHAT] * 4 + [Operation.RESPONSES] * 2 + [Operation.EMBEDDINGS, Operation.RESPONSES_GET]
    ),
    model=st.sampled_from(sorted(PRICES)),
    pinned=st.none() | st.sampled_from(["gpt-4o", "gpt-5", "o3", "gpt-5.6-sol"]),
    stream=st.booleans(),
    asks_usage=st.booleans(),
    cap=st.none() | st.integers(1, 400),
    words=st.lists(st.integers(0, 300), min_size=1, max_size=3).map(tuple),
    reasoning=st.integers(0, 500),
    prompt=st.integers(1, 50),
    cached=st.booleans(),
    tier=tiers(),
    tier_served=tiers(),
    end=st.sampled_from(End),
    status=st.sampled_from([400, 404, 429, 500, 503]),
    failures=st.integers(0, 2),
    at=st.integers(0, 320),
    runs_on=st.booleans(),
    regional=st.booleans(),
    written=st.booleans(),
    heard=st.just(0) | st.integers(1, 40),
    speaks=st.booleans(),
)


class OpenAI:
    """Serves one scenario, and knows what it bills for it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.billed = 0
        self.answered = 0
        self.reserved = 0
        self.till: Till | None = None
        self.asked_for_usage = False
        self.sent = asyncio.Event()
        self.tier = _served_tier(scenario)
        self.streams = scenario.stream and scenario.operation in (Operation.CHAT, Operation.RESPONSES)

    async def __call__(self, request: UpstreamRequest) -> Reply | StreamReply:
        scene = self.scenario
        self.answered += 1
        assert self.till is not None
        self.reserved = self.till.money
        if self.answered <= scene.failures:
            return reply({"error": {"message": "too many"}}, 429)
        if scene.end is End.UNREACHABLE:
            raise BrokerError(Kind.UPSTREAM_UNAVAILABLE, "unreachable", unsent=True)
        if scene.end is End.ERROR:
            return reply({"error": {"message": "no"}}, scene.status)
        everything = sum(scene.answers)
        if scene.operation is Operation.RESPONSES_GET:
            return reply(self._response(everything))
        self._bill(everything)
        if scene.end is End.LOST:
            raise BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")
        document = json.loads(request.body)
        assert document["model"] == scene.served
        if not self.streams:
            return await self._whole(everything)
        self.asked_for_usage = (document.get("stream_options") or {}).get("include_usage") is True
        return streamed(self._events())

    def _bill(self, words: int) -> None:
        scene = self.scenario
        self.billed = bill(scene.served, self.tier, scene.work(words), regional=scene.regional)

    async def _whole(self, words: int) -> Reply:
        if self.scenario.end in (End.CALLER_LEAVES, End.TOKEN_ENDS):
            self.sent.set()
            await asyncio.Event().wait()
        if self.scenario.end is End.UPSTREAM_BREAKS:
            raise BrokerError(Kind.UPSTREAM_UNAVAILABLE, "broke off its reply")
        if self.scenario.operation is Operation.RESPONSES:
            return reply(self._response(words))
        if self.scenario.operation is Operation.EMBEDDINGS:
            return reply({**self._frame(), "data": [], **self._usage(words)})
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": WORD * each},
                "finish_reason": "stop",
            }
            for index, each in enumerate(self.scenario.answers)
        ]
        return reply({**self._frame(), "choices": choices, **self._usage(words)})

    def _events(self) -> list[Any]:
        """Those until the end of the scenario, which also settles what is billed."""
        every = self._responses() if self.scenario.operation is Operation.RESPONSES else self._chat()
        end, at = self.scenario.end, self.scenario.at
        if end not in (End.CALLER_LEAVES, End.TOKEN_ENDS, End.UPSTREAM_BREAKS) or at >= len(every):
            return [each for each, _ in every]
        written = sum(words for _, words in every[:at])
        if end is End.UPSTREAM_BREAKS or not self.scenario.runs_on:
            self._bill(written)
        last: Any = interrupted() if end is End.UPSTREAM_BREAKS else self.sent
        return [*(each for each, _ in every[:at]), last]

    def _chat(self) -> list[tuple[bytes, int]]:
        told = {"usage": None} if self.asked_for_usage else {}
        events: list[tuple[bytes, int]] = []
        for index, words in enumerate(self.scenario.answers):
            for word in range(words + 1):
                last = word == words
                delta = {} if last else {"content": WORD}
                choice = {"index": index, "delta": delta, "finish_reason": "stop" if last else None}
                events.append((event({**self._frame(), "choices": [choice], **told}), 0 if last else 1))
        usage = self._usage(sum(self.scenario.answers))
        if self.asked_for_usage and usage:
            events.append((event({**self._frame(), "choices": [], **usage}), 0))
        return [*events, (DONE, 0)]

    def _responses(self) -> list[tuple[bytes, int]]:
        words = self.scenario.answers[0]
        started = {**self._frame(), "object": "response", "status": "in_progress", "usage": None}
        delta = {"type": "response.output_text.delta", "item_id": "m", "delta": WORD}
        return [
            (named({"type": "response.created", "response": started}), 0),
            *[(named(delta), 1)] * words,
            (named({"type": "response.completed", "response": self._response(words)}), 0),
        ]

    def _response(self, words: int) -> dict[str, Any]:
        part = {"type": "output_text", "text": WORD * self.scenario.answers[0]}
        output = [{"type": "message", "content": [part]}]
        told = {**self._frame(), "object": "response", "status": "completed", "output": output}
        usage = self._usage(words).get("usage")
        if not usage:
            return told
        names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens",
                 "prompt_tokens_details": "input_tokens_details",
                 "completion_tokens_details": "output_tokens_details"}  # fmt: skip
        return {**told, "usage": {names.get(name, name): value for name, value in usage.items()}}

    def _frame(self) -> dict[str, Any]:
        told = {} if self.tier is None else {"service_tier": self.tier}
        return {"id": "x", "model": self.scenario.served, **told}

    def _usage(self, words: int) -> dict[str, Any]:
        if self.scenario.end is End.UNCOUNTED:
            return {}
        work = self.scenario.work(words)
        into = {"cached_tokens": work.cached, "cache_write_tokens": work.written, "audio_tokens": work.heard}
        told: dict[str, Any] = {"prompt_tokens": work.tokens_in, "prompt_tokens_details": into}
        if self.scenario.operation is not Operation.EMBEDDINGS:
            told["completion_tokens"] = work.tokens_out
            told["completion_tokens_details"] = {"audio_tokens": work.spoken}
        if self.scenario.end is End.DOUBTFUL:
            told["prompt_tokens"] = -1
        return {"usage": told}


def _served_tier(scene: Scenario) -> str | None:
    """OpenAI tells the tier that served where one was asked for; it may be the default one instead."""
    if scene.tier in (None, "auto"):
        return None
    possible = (scene.served, scene.tier) in TIERS and scene.tier_served != "default"
    return scene.tier if possible else "default"


def document(scene: Scenario) -> dict[str, Any] | None:
    """The body of the call."""
    if scene.operation is Operation.RESPONSES_GET:
        return None
    text = WORD * scene.prompt
    asked: dict[str, Any] = {"model": scene.model}
    if scene.tier is not None:
        asked["service_tier"] = scene.tier
    if scene.operation is Operation.EMBEDDINGS:
        return {**asked, "input": text}
    if scene.stream:
        asked["stream"] = True
    if scene.operation is Operation.RESPONSES:
        return {**asked, "input": text, **({"max_output_tokens": scene.cap} if scene.cap else {})}
    if scene.stream and scene.asks_usage:
        asked["stream_options"] = {"include_usage": True}
    cap = {"max_completion_tokens": scene.cap} if scene.cap else {}
    message: dict[str, Any] = {"role": "user", "content": text}
    if scene.sounds:
        sound = {"type": "input_audio", "input_audio": {"data": "A" * 32 * scene.heard, "format": "mp3"}}
        message = {"role": "user", "content": [{"type": "text", "text": text}, sound]}
    if scene.speaks:
        asked["modalities"] = ["text", "audio"]
    return {**asked, "n": len(scene.answers), "messages": [message], **cap}


async def play(till: Till, scene: Scenario, openai: OpenAI) -> None:
    """The caller's part of the scenario: it takes what comes, until it leaves or its token ends."""
    till.allowing.shape = Shape(model=scene.pinned)
    if scene.regional:
        till.keys.region, till.allowing.placement = "eu", Placement(None, "eu")
    if scene.end is End.POLICY_REFUSES:
        till.allowing.cap = 0
    path = "/v1/responses/x" if scene.operation is Operation.RESPONSES_GET else None
    call = asyncio.create_task(till.run(scene.operation, document(scene), path=path))
    silent = asyncio.create_task(openai.sent.wait())
    await asyncio.wait({call, silent}, return_when=asyncio.FIRST_COMPLETED)
    if not call.done() and scene.end is End.TOKEN_ENDS and openai.streams:
        till.trusting.over = True
        await till.supervisor.tick()
        await call
    silent.cancel()
    call.cancel()
    await asyncio.gather(call, silent, return_exceptions=True)


@settings(max_examples=sized(500))
@given(scene=scenarios)
def test_never_less_than_openai_bills_and_more_only_while_it_is_unknown(scene: Scenario) -> None:
    openai = OpenAI(scene)
    till = openai.till = Till(openai)
    with asyncio.Runner() as runner:
        runner.run(play(till, scene, openai))
    note(f"{scene.operation.value} {scene.end.value}")
    charged, billed = till.money, openai.billed
    assert charged >= billed, "less than OpenAI bills"
    assert openai.reserved >= billed or not openai.billed, "less was reserved than OpenAI bills"
    outcomes = [record for record in till.ledger.records if record.type.value == "outcome"]
    if not outcomes:  # refused before anything was sent: nothing is reserved any more
        assert (charged, till.taken(Unit.TOKENS), till.taken(Unit.REQUESTS)) == (0, 0, 0)
        return
    assert till.outcome.cost_micro_usd == charged
    assert till.taken(Unit.REQUESTS) == 1
    assert till.keys.leased == len(till.upstream.asked)
    if till.outcome.cost_exact:
        assert charged == billed, "more than OpenAI bills, and it was known"
    else:
        assert unknown(scene), "what upstream told was not used"
        assert charged <= most(scene)


def unknown(scene: Scenario) -> bool:
    """Whether OpenAI's bill cannot be known from what it told."""
    whole = scene.end in (End.WHOLE, End.ERROR, End.UNREACHABLE, End.POLICY_REFUSES)
    return not whole and scene.operation is not Operation.RESPONSES_GET


def most(scene: Scenario) -> int:
    """The worst case: the prompt, of each answer the longest that was asked for, in the dearest tier. Where
    the price of a tier is not published, it is the dearest that is.
    """
    each = max(scene.cap or LONGEST.get(scene.served, 16_384), *scene.answers, 0) + FRAMING * 2
    out = 0 if scene.operation is Operation.EMBEDDINGS else each * len(scene.answers)
    into = WINDOW if scene.sounds else scene.prompt + 16  # nobody counts a sound but OpenAI
    spoken = out if scene.speaks and scene.operation is Operation.CHAT else 0
    writes = into if scene.served in WRITES and not scene.sounds else 0
    work = Work(into, 0, out, writes, into if scene.sounds else 0, spoken)
    if scene.tier == "priority" and (scene.served, "priority") not in TIERS:
        return ceil(bill(scene.served, None, work, regional=scene.regional) * 2.5)
    tier = "priority" if scene.tier == "priority" else None
    return bill(scene.served, tier, work, regional=scene.regional)
