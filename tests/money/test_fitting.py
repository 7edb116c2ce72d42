"""A call that does not fit into what a limit has left gets that, and upstream cannot write past it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalog.estimate import estimate
from broker.catalog.reserve import LEAST_FITTED, Reserve, fitted, reserve
from broker.errors import Kind
from broker.model.call import Call, Reply, StreamReply, UpstreamRequest
from broker.model.decision import Shape
from broker.model.operation import Operation
from broker.model.record import RecordType
from tests.money.fakes import Till, chunk, event, reply, streamed, used
from tests.sizes import sized

SAY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
DONE = b"data: [DONE]\n\n"
LEFT = 1000 * 10 + 30
"""Micro-dollars: of gpt-4o, 1,000 tokens of output and a few of input."""


class Listening:
    """Upstream, which answers with as many tokens as it is let."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, request: UpstreamRequest) -> Reply | StreamReply:
        document = json.loads(request.body)
        self.asked.append(document)
        most = document.get("max_completion_tokens", document.get("max_tokens", 16_384))
        return reply({"model": "gpt-4o", "choices": [], "usage": used(10, most)})


def _till(cap: int, *, fit: bool = True) -> tuple[Till, Listening]:
    upstream = Listening()
    till = Till(upstream)
    till.allowing.cap, till.allowing.fit = cap, fit
    return till, upstream


async def test_a_call_that_does_not_fit_gets_what_is_left() -> None:
    till, upstream = _till(LEFT)
    assert await till.run(Operation.CHAT, SAY)
    [asked] = upstream.asked
    assert 990 < asked["max_completion_tokens"] <= 1000
    assert till.money <= LEFT
    [intent] = [each for each in till.ledger.records if each.type is RecordType.INTENT]
    assert intent.fitted == asked["max_completion_tokens"]
    assert await till.run(Operation.CHAT, SAY) == [], "nothing is left"
    assert till.ledger.records[-1].reason == Kind.BUDGET_EXCEEDED.value


async def test_without_fit_it_is_refused_and_what_fits_is_left_alone() -> None:
    till, upstream = _till(LEFT, fit=False)
    assert await till.run(Operation.CHAT, SAY) == []
    assert upstream.asked == []
    till, upstream = _till(LEFT)
    assert await till.run(Operation.CHAT, SAY | {"max_tokens": 20})
    assert upstream.asked == [SAY | {"max_tokens": 20}]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_bound_that_the_caller_named_is_the_one_that_is_lowered(name: str) -> None:
    till, upstream = _till(LEFT)
    assert await till.run(Operation.CHAT, SAY | {name: 5000})
    [asked] = upstream.asked
    assert asked[name] <= 1000
    assert len(asked.keys() & {"max_tokens", "max_completion_tokens"}) == 1


async def test_no_bound_is_raised() -> None:
    till, upstream = _till(LEFT)
    assert await till.run(Operation.CHAT, SAY | {"max_tokens": 20, "max_completion_tokens": 5000})
    [asked] = upstream.asked
    assert asked["max_tokens"] == 20
    assert 900 < asked["max_completion_tokens"] <= 1000


async def test_an_edit_gets_what_is_left_as_the_chat_that_performs_it() -> None:
    till, upstream = _till(LEFT)
    till.allowing.shape = Shape(model="gpt-4o")
    edit = {"model": "text-davinci-edit-001", "input": "a", "instruction": "b"}
    assert await till.run(Operation.EDITS, edit)
    assert 900 < upstream.asked[0]["max_completion_tokens"] <= 1000


async def test_what_can_be_told_no_bound_is_refused_once() -> None:
    till, upstream = _till(LEFT)
    assert await till.run(Operation.RESPONSES_COMPACT, {"model": "gpt-4o", "input": "a"}) == []
    assert upstream.asked == []
    [denied] = till.ledger.records
    assert (denied.type, denied.fitted) == (RecordType.DENIED, None)


async def test_several_answers_share_what_is_left() -> None:
    till, upstream = _till(LEFT)
    assert await till.run(Operation.CHAT, SAY | {"n": 4})
    assert 240 < upstream.asked[0]["max_completion_tokens"] <= 250


async def test_too_little_is_nothing() -> None:
    till, upstream = _till(100)
    assert await till.run(Operation.CHAT, SAY) == []
    assert upstream.asked == []


@settings(max_examples=sized(60))
@given(
    tokens=st.integers(0, 40_000),
    money=st.integers(0, 400_000),
    n=st.integers(1, 3),
    at_most=st.none() | st.integers(0, 100),
    image=st.booleans(),
)
def test_what_is_fitted_fits_and_one_token_more_would_not(
    tokens: int, money: int, n: int, at_most: int | None, image: bool
) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}] if image else "hello"
    document = {"model": "gpt-4o", "n": n, "messages": [{"role": "user", "content": content}]}

    def worst(each: int | None) -> Reserve:
        asked = document if each is None else {**document, "max_completion_tokens": each}
        call = Call(Operation.CHAT, "POST", "/v1/chat/completions", b"", asked, "gpt-4o")
        return reserve(estimate(call, None), at_most, regional=False)

    left = Reserve(tokens, money)
    call = Call(Operation.CHAT, "POST", "/v1/chat/completions", b"", document, "gpt-4o")
    longest = fitted(estimate(call, None), at_most, left, regional=False)

    def fits(needs: Reserve) -> bool:
        return needs.tokens <= left.tokens and needs.micro_usd <= left.micro_usd

    if longest is None:
        assert not fits(worst(LEAST_FITTED))
    else:
        assert fits(worst(longest))
        assert longest == 16_384 or not fits(worst(longest + 1))


@pytest.mark.parametrize("words", [300, 60_000])
async def test_an_upstream_that_writes_past_what_is_reserved_is_cut(words: int) -> None:
    events = [event(chunk("word " * 20)) for _ in range(words // 20)]

    async def endless(_request: UpstreamRequest) -> StreamReply:
        return streamed([*events, event(chunk("", finish="stop")), DONE])

    till = Till(endless)
    heard = await till.run(Operation.CHAT, SAY | {"stream": True, "max_tokens": 100})
    cut = words > 300
    assert (DONE in heard) != cut
    assert (till.outcome.error == Kind.BUDGET_EXCEEDED.value) == cut
    if cut:
        assert len(heard) < 60, "a few hundred tokens more than it may, at most"
