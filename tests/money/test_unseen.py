"""What a model reads and a call does not show is reserved: all that it can be, or all that is known of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalog.estimate import estimate
from broker.catalog.reserve import going_on
from broker.errors import BrokerError, Kind
from broker.model.call import Call, Reply, StreamReply, UpstreamRequest
from broker.model.operation import Operation
from broker.model.stored import Context
from tests.money.billing import PRICES, Work, bill
from tests.money.fakes import Inbound, Till, named, reply, streamed

WINDOW = {"gpt-4o": 128_000, "gpt-4o-mini": 128_000, "gpt-5": 400_000, "o3": 200_000}
WHOLE = WINDOW["gpt-4o"] * 2.5
"""Micro-dollars for all that gpt-4o can read."""
SAY = {"model": "gpt-4o", "input": "and then?", "max_output_tokens": 100}


@dataclass
class Kept:
    """A response that OpenAI keeps: how many tokens the model reads where a call goes on from it."""

    tokens: int


class OpenAI:
    """Keeps responses, and bills all that it reads. `reserved` is what was set aside when the call came."""

    def __init__(self, lost: bool = False) -> None:
        self.kept: dict[str, Kept] = {}
        self.lost = lost
        self.words = 3
        self.unseen = 0
        self.billed = 0
        self.reserved = 0
        self.till: Till | None = None

    async def __call__(self, request: UpstreamRequest) -> Reply | StreamReply:
        assert self.till is not None
        self.reserved = self.till.money
        asked = json.loads(request.body)
        before = self.kept.get(asked.get("previous_response_id", ""), Kept(0)).tokens
        for item in asked["input"] if isinstance(asked["input"], list) else ():
            before += self.kept.get(item.get("id", ""), Kept(0)).tokens
        tokens_in = before + self.unseen + len(str(asked["input"]).split())
        name = f"resp_{len(self.kept)}"
        self.kept[name] = Kept(tokens_in + self.words)
        self.kept[f"msg_{name}"] = Kept(self.words)
        self.billed = bill(asked["model"], None, Work(tokens_in, 0, self.words))
        if self.lost:
            raise BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")
        usage = {"input_tokens": tokens_in, "output_tokens": self.words}
        message = {"type": "message", "id": f"msg_{name}", "content": [{"type": "output_text", "text": "x"}]}
        done = {"object": "response", "id": name, "model": asked["model"], "status": "completed",
                "output": [message], "usage": usage}  # fmt: skip
        if asked.get("stream"):
            begun = {**done, "status": "in_progress", "output": [], "usage": None}
            return streamed([
                named({"type": "response.created", "response": begun}),
                named({"type": "response.output_item.done", "item": message}),
                named({"type": "response.completed", "response": done}),
            ])  # fmt: skip
        return reply(done)


def house(cap: int = 10**12) -> tuple[Till, OpenAI]:
    upstream = OpenAI()
    till = upstream.till = Till(upstream)
    till.allowing.cap = cap
    return till, upstream


async def say(till: Till, **more: Any) -> None:
    await till.run(Operation.RESPONSES, {**SAY, **more})


async def reserved(till: Till, upstream: OpenAI, **more: Any) -> int:
    """What a call sets aside for itself."""
    before = till.money
    await say(till, **more)
    return upstream.reserved - before


PDF = "data:application/pdf;base64,JVBERi0="
UNSEEN: dict[str, dict[str, Any]] = {
    "a conversation": {"conversation": "conv_1"},
    "a stored prompt": {"prompt": {"id": "pmpt_1"}},
    "a file": {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
    "a file's address": {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.example/"}]}]},
    "a file's bytes": {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": PDF}]}]},
    "what a search finds": {"tools": [{"type": "web_search"}]},
    "what a file search finds": {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
    "an item that nobody knows": {"input": [{"type": "something_new", "x": 1}]},
    "a response made elsewhere": {"previous_response_id": "resp_x"},
    "an item made elsewhere": {"input": [{"type": "item_reference", "id": "msg_x"}]},
    "an item made elsewhere without a type": {"input": [{"id": "msg_x"}]},
    "a message made elsewhere": {"input": [{"id": "msg_x", "type": "message", "role": "assistant"}]},
    "reasoning made elsewhere": {"input": [{"id": "rs_x", "type": "reasoning", "summary": []}]},
}  # fmt: skip
LENT = frozenset({"conv_1", "pmpt_1", "file-1", "vs_1", "resp_x", "msg_x", "rs_x"})


@pytest.mark.parametrize("more", UNSEEN.values(), ids=UNSEEN)
async def test_unseen_input_is_reserved_at_the_window(more: dict[str, Any]) -> None:
    till, upstream = house()
    till.allowing.lent = LENT
    upstream.unseen = 100_000
    assert await reserved(till, upstream, **more) >= WHOLE
    assert upstream.billed <= upstream.reserved


@pytest.mark.parametrize("more", UNSEEN.values(), ids=UNSEEN)
async def test_a_budget_below_what_may_be_read_unseen_refuses(more: dict[str, Any]) -> None:
    till, upstream = house(cap=int(WHOLE) - 1)
    till.allowing.lent = LENT
    await say(till, **more)
    assert upstream.reserved == 0  # nothing came to upstream


async def test_a_bound_that_policy_gives_is_reserved_instead() -> None:
    till, upstream = house(cap=20_000)
    till.allowing.lent, till.allowing.unseen_tokens = LENT, 5_000
    upstream.unseen = 3_000
    assert 5_000 * 2.5 <= await reserved(till, upstream, conversation="conv_1") < 20_000
    assert till.money == upstream.billed


BOUNDED: dict[str, dict[str, Any]] = {
    "an image": {"type": "input_image", "image_url": "https://a.example/cat.png"},
    "an image of OpenAI's": {"type": "input_image", "file_id": "file-1"},
    "a sound": {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "mp3"}},
}


@pytest.mark.parametrize("part", BOUNDED.values(), ids=BOUNDED)
async def test_a_part_that_has_a_bound_of_its_own_needs_no_window(part: dict[str, Any]) -> None:
    till, upstream = house()
    till.allowing.lent = LENT
    upstream.unseen = 1_100
    taken = await reserved(till, upstream, input=[{"role": "user", "content": [part]}])
    assert upstream.billed <= taken < WHOLE / 10


async def test_reasoning_that_a_caller_keeps_for_itself_needs_no_window() -> None:
    till, upstream = house()
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "A" * 6_000}
    upstream.unseen = 1_000
    taken = await reserved(till, upstream, input=[item, {"role": "user", "content": "go on"}], store=False)
    assert upstream.billed <= taken < WHOLE / 10


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("by", ["previous_response_id", "item_reference"])
async def test_a_conversation_goes_on_within_a_budget_far_below_the_window(stream: bool, by: str) -> None:
    till, upstream = house(cap=30_000)
    upstream.words = 90
    await say(till, stream=stream)
    for turn in range(8):
        last = f"resp_{2 * turn}"
        more: dict[str, Any] = {"previous_response_id": last}
        if by == "item_reference":
            more = {"input": [{"type": "item_reference", "id": f"msg_{last}"}]}
        before = till.money
        await say(till, stream=stream, **more)
        assert till.money - before == upstream.billed
        assert upstream.reserved - before >= upstream.billed
    assert len(upstream.kept) == 18


@pytest.mark.parametrize(
    ("model", "goes_on"),
    [("gpt-4o-mini", True), ("gpt-4o-2024-08-06", True), ("o3", True), ("gpt-4", False), ("gpt-99", False)],
)
def test_what_was_counted_for_one_vocabulary_holds_for_its_models(model: str, goes_on: bool) -> None:
    document = {"model": model, "input": "x", "previous_response_id": "resp_0"}
    call = Call(Operation.RESPONSES, "POST", "/v1/responses", b"{}", document, model, False)
    found = going_on(estimate(call, None), [Context(13, "o200k_base")])
    assert (found.terms.unseen_in < 100) is goes_on
    other = going_on(estimate(call, None), [Context(13, "gpt-4o-2024-11-20")])
    assert (other.terms.unseen_in < 100) is (model == "gpt-4o-2024-08-06")


async def test_what_was_counted_with_an_image_holds_for_its_model_alone() -> None:
    till, _ = house()
    picture = {"type": "input_image", "image_url": "https://a.example/cat.png"}
    await say(till, input=[{"role": "user", "content": [picture]}])
    await say(till, previous_response_id="resp_0")
    assert till.estimate.terms.unseen_in < 1_000
    await say(till, previous_response_id="resp_0", model="gpt-4o-mini")
    assert till.estimate.terms.unseen_in > 100_000
    await say(till, previous_response_id="resp_2", model="gpt-4o-mini")  # nor does what went on from it
    assert till.estimate.terms.unseen_in > 100_000


async def test_an_answer_that_broke_off_is_of_unknown_size() -> None:
    till, _ = house()
    await till.run(Operation.RESPONSES, {**SAY, "stream": True}, leave_after=1)
    await say(till, previous_response_id="resp_0")
    assert till.estimate.terms.unseen_in > 100_000


async def test_a_response_of_the_background_is_known_once_it_is_read() -> None:
    usage = {"input_tokens": 10, "output_tokens": 4}
    body = {"object": "response", "id": "resp_0", "model": "gpt-4o", "output": []}
    answers = [{**body, "status": "queued"}, {**body, "status": "completed", "usage": usage}]

    async def script(request: UpstreamRequest) -> Reply:
        del request
        return reply(answers[min(len(till.upstream.asked) - 1, 1)])

    till = Till(script)
    await say(till, background=True)
    assert till.owners.known == {}
    path = "/v1/responses/resp_0"
    read = Call(Operation.RESPONSES_GET, "GET", path, b"", None, None, False, target="resp_0")
    for _ in range(2):
        await till.pipeline.run(Inbound(read))
    await say(till, previous_response_id="resp_0")
    assert till.estimate.terms.unseen_in < 100


async def test_items_that_only_the_last_event_names_do_not_hide_its_usage() -> None:
    item = {"type": "message", "id": "msg_1", "content": []}
    done = {"object": "response", "id": "resp_0", "model": "gpt-4o", "status": "completed",
            "output": [item], "usage": {"input_tokens": 10, "output_tokens": 4}}  # fmt: skip
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    events = [named({"type": f"response.{kind}", "response": told})
              for kind, told in (("created", begun), ("completed", done))]  # fmt: skip

    async def script(request: UpstreamRequest) -> StreamReply:
        del request
        return streamed(events)

    till = Till(script)
    await say(till, stream=True)
    await say(till, previous_response_id="resp_0", stream=True)
    assert till.estimate.terms.unseen_in < 100


async def test_a_refusal_for_what_is_unseen_says_so() -> None:
    till, _ = house(cap=100_000)
    till.allowing.lent = LENT
    with pytest.raises(BrokerError) as caught:
        await till.open(Operation.RESPONSES, {**SAY, "conversation": "conv_1"})
    assert caught.value.kind is Kind.BUDGET_EXCEEDED
    assert "unseen_tokens" in caught.value.remedy
    assert "cannot be counted" in caught.value.remedy


TURNS = st.lists(
    st.fixed_dictionaries({
        "model": st.sampled_from(sorted(WINDOW)),
        "words": st.integers(0, 90),
        "text": st.integers(1, 200),
        "back": st.none() | st.integers(0, 5),
        "by_item": st.booleans(),
        "stream": st.booleans(),
        "lost": st.booleans(),
    }),
    min_size=1,
    max_size=8,
)  # fmt: skip


@given(turns=TURNS)
@settings(max_examples=40)
async def test_never_less_is_reserved_or_charged_than_openai_bills_however_a_conversation_goes(
    turns: list[dict[str, Any]],
) -> None:
    till, upstream = house()
    for turn in turns:
        assert turn["model"] in PRICES
        said = " the" * turn["text"]
        more: dict[str, Any] = {"input": said, "model": turn["model"], "stream": turn["stream"]}
        known = [name for name in upstream.kept if name.startswith("resp_") and name in till.owned]
        if turn["back"] is not None and known:
            last = known[-1 - turn["back"] % len(known)]
            if turn["by_item"]:
                more["input"] = [
                    {"type": "item_reference", "id": f"msg_{last}"},
                    {"role": "user", "content": said},
                ]
            else:
                more["previous_response_id"] = last
        before, sent = till.money, len(till.upstream.asked)
        upstream.words, upstream.lost = turn["words"], turn["lost"]
        await say(till, **more)
        if len(till.upstream.asked) == sent:
            continue
        assert upstream.reserved - before >= upstream.billed
        assert till.money - before >= upstream.billed
        if not turn["lost"]:
            assert till.money - before == upstream.billed
