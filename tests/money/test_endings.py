"""Every fault of money that was found in the field, by its name: what is charged, however a call ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.charge import Unit
from broker.model.decision import Shape
from broker.model.operation import Operation
from broker.model.secret import Lease
from broker.model.sends import Sends
from tests.money.fakes import Script, Till, Upstream, chunk, event, interrupted, named, reply, streamed, used

SAY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
STREAM = {**SAY, "stream": True}
DONE = b"data: [DONE]\n\n"
USAGE_CHUNK = event({"id": "c", "model": "gpt-4o", "choices": [], "usage": used(10, 4)})
EXACT = 10 * 2.5 + 4 * 10  # micro-dollars of gpt-4o
WORST = 16_384 * 10  # of its output alone


def always(answer: Reply | StreamReply | BrokerError) -> Script:
    async def script(request: UpstreamRequest) -> Reply | StreamReply:
        del request
        if isinstance(answer, BrokerError):
            raise answer
        return answer

    return script


def like_openai(request: UpstreamRequest) -> StreamReply:
    """A stream that tells its usage where it is asked to."""
    options = json.loads(request.body).get("stream_options") or {}
    asked = options.get("include_usage") is True
    more: dict[str, Any] = {"usage": None} if asked else {}
    told = [USAGE_CHUNK] if asked else []
    return streamed([event(chunk("Hello", **more)), event(chunk(" you", finish="stop", **more)), *told, DONE])


async def openai(request: UpstreamRequest) -> Reply | StreamReply:
    return like_openai(request)


async def test_a_stream_without_include_usage_is_charged_what_upstream_counted() -> None:
    till = Till(openai)
    heard = await till.run(Operation.CHAT, STREAM)
    assert till.money == EXACT
    assert till.taken(Unit.TOKENS) == 14
    assert (till.outcome.tokens_in, till.outcome.tokens_out) == (10, 4)
    assert heard == [event(chunk("Hello")), event(chunk(" you", finish="stop")), DONE]


async def test_who_asked_for_usage_gets_it_as_it_came() -> None:
    till = Till(openai)
    heard = await till.run(Operation.CHAT, {**STREAM, "stream_options": {"include_usage": True}})
    assert heard[-2:] == [USAGE_CHUNK, DONE]
    assert heard[0] == event(chunk("Hello", usage=None))
    assert till.money == EXACT


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_a_call_that_upstream_refuses_costs_nothing_and_is_one_request(status: int) -> None:
    till = Till(always(reply({"error": {"message": "no"}}, status)))
    await till.run(Operation.CHAT, SAY)
    assert (till.money, till.taken(Unit.TOKENS), till.taken(Unit.REQUESTS)) == (0, 0, 1)


async def test_a_stream_that_upstream_breaks_off_is_charged_what_was_delivered() -> None:
    till = Till(always(streamed([event(chunk("Hello")), event(chunk(" you")), interrupted()])))
    await till.run(Operation.CHAT, STREAM)
    assert 0 < till.money < 100 * 10 + 20 * 2.5


async def test_a_stream_that_ends_without_usage_is_charged_what_was_delivered() -> None:
    text = "one two three four five six seven eight nine ten " * 20
    till = Till(always(streamed([event(chunk(text)), event(chunk("", finish="stop")), DONE])))
    await till.run(Operation.CHAT, STREAM)
    assert 200 * 10 < till.money < 300 * 10
    assert till.outcome.tokens_out is None


async def test_a_unary_caller_that_leaves_is_charged_the_worst_case_once_sent() -> None:
    sent, never = asyncio.Event(), asyncio.Event()

    async def hang(request: UpstreamRequest) -> Reply:
        del request
        sent.set()
        await never.wait()
        raise AssertionError

    till = Till(hang)
    for _ in range(20):
        sent.clear()
        call = asyncio.create_task(till.open(Operation.CHAT, SAY))
        await sent.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert till.money >= 20 * WORST


async def test_a_caller_that_leaves_before_anything_was_sent_is_charged_nothing() -> None:
    connecting, never = asyncio.Event(), asyncio.Event()

    class Connecting(Upstream):
        async def send(self, request: UpstreamRequest, lease: Lease, sends: Sends) -> Reply | StreamReply:
            del request, lease, sends
            connecting.set()
            await never.wait()
            raise AssertionError

    till = Till(openai, Connecting(openai))
    call = asyncio.create_task(till.open(Operation.CHAT, SAY))
    await connecting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (till.money, till.taken(Unit.TOKENS), till.taken(Unit.REQUESTS)) == (0, 0, 1)
    assert till.outcome.attempts == 0


async def test_a_call_that_never_reached_upstream_costs_nothing() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "unreachable", unsent=True)))
    await till.run(Operation.CHAT, SAY)
    assert (till.money, till.taken(Unit.TOKENS), till.taken(Unit.REQUESTS)) == (0, 0, 1)


async def test_a_call_whose_answer_was_lost_is_charged_its_worst_case() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    await till.run(Operation.CHAT, SAY)
    assert till.money >= WORST


@pytest.mark.parametrize(
    "operation",
    [Operation.CHAT_GET, Operation.RESPONSES_GET, Operation.CHAT_UPDATE, Operation.RESPONSES_CANCEL],
)
async def test_reading_what_is_stored_is_not_billed_or_counted_again(operation: Operation) -> None:
    stored = {"id": "x", "object": "response", "model": "gpt-4o", "status": "completed", "usage": used(10, 4)}
    till = Till(always(reply(stored)))
    document = {"metadata": {"a": "b"}} if operation is Operation.CHAT_UPDATE else None
    await till.run(operation, document, path="/v1/stored/x")
    assert (till.money, till.taken(Unit.TOKENS), till.taken(Unit.REQUESTS)) == (0, 0, 1)
    assert (till.outcome.tokens_in, till.outcome.tokens_out) == (None, None)


async def test_a_pinned_model_is_settled_at_its_own_price() -> None:
    answer = {"model": "o3-2025-04-16", "choices": [], "usage": used(1000, 1000)}
    till = Till(always(reply(answer)))
    till.allowing.shape = Shape(model="o3")
    await till.run(Operation.CHAT, {**SAY, "model": "gpt-4o-mini"})
    assert till.money == 1000 * 2 + 1000 * 8


async def test_a_model_set_by_policy_is_estimated_and_settled_at_its_own_price() -> None:
    till = Till(always(reply({"model": "o3", "choices": [], "usage": used(10, 10)})))
    till.allowing.shape = Shape(set={"model": "o3"})
    till.allowing.cap = 500_000
    with pytest.raises(BrokerError) as caught:
        await till.open(Operation.CHAT, {**SAY, "model": "gpt-4o-mini"})
    assert caught.value.kind is Kind.BUDGET_EXCEEDED


async def test_an_aliased_model_is_settled_at_the_price_of_what_served() -> None:
    till = Till(always(reply({"model": "gpt-4o-2024-05-13", "choices": [], "usage": used(1000, 1000)})))
    await till.run(Operation.CHAT, SAY)
    assert till.money == 1000 * 5 + 1000 * 15


@pytest.mark.parametrize(
    ("asked", "said", "factor"),
    [
        ("priority", "priority", 2.0),
        ("fast", "fast", 2.0),
        ("flex", "flex", 0.5),
        ("priority", "default", 1.0),
        (None, "priority", 2.0),
        ("flex", None, 1.0),
        ("priority", None, 2.0),
        ("auto", "default", 1.0),
    ],
)
async def test_a_service_tier_has_a_price_of_its_own(
    asked: str | None, said: str | None, factor: float
) -> None:
    answer: dict[str, Any] = {
        "model": "gpt-5",
        "choices": [],
        "usage": used(1000, 1000),
        "service_tier": said,
    }
    till = Till(always(reply({name: value for name, value in answer.items() if value is not None})))
    tier = {"service_tier": asked} if asked else {}
    await till.run(Operation.CHAT, {**SAY, "model": "gpt-5", **tier})
    assert till.money == (1000 * 1.25 + 1000 * 10) * factor


async def test_a_priority_call_is_reserved_at_the_price_of_priority() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    await till.run(
        Operation.CHAT, {**SAY, "model": "gpt-5", "service_tier": "priority", "max_completion_tokens": 9}
    )
    assert till.money >= 9 * 20


async def test_a_fine_tuned_model_has_a_price_of_its_own() -> None:
    name = "ft:gpt-4o-mini-2024-07-18:org::id"
    till = Till(always(reply({"model": name, "choices": [], "usage": used(1000, 1000)})))
    await till.run(Operation.CHAT, {**SAY, "model": name})
    assert till.money == 1000 * 0.3 + 1000 * 1.2


async def test_cached_input_costs_less() -> None:
    till = Till(always(reply({"model": "gpt-4o", "choices": [], "usage": used(1000, 0, cached=1000)})))
    await till.run(Operation.CHAT, SAY)
    assert till.money == 1250


async def test_an_unknown_model_is_reserved_at_the_dearest_price_of_its_family() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    await till.run(Operation.CHAT, {**SAY, "model": "gpt-5.9", "max_completion_tokens": 1000})
    assert till.money >= 1000 * 180  # gpt-5.5-pro


async def test_an_explicit_zero_stays_zero() -> None:
    till = Till(always(reply({"model": "gpt-4o", "choices": [], "usage": used(0, 0)})))
    await till.run(Operation.CHAT, SAY)
    assert (till.money, till.taken(Unit.TOKENS)) == (0, 0)
    assert (till.outcome.tokens_in, till.outcome.tokens_out) == (0, 0)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": -5},
        {"prompt_tokens": "1", "completion_tokens": "1"},
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 10**30},
        {"prompt_tokens": True, "completion_tokens": True},
        {"prompt_tokens": 1.5, "completion_tokens": 2.5},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1000}},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1000}},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 10_000},
        {"prompt_tokens": 1},
        {},
        [],
        "free",
    ],
    ids=str,
)
async def test_a_usage_that_cannot_be_is_charged_at_the_worst_case(usage: object) -> None:
    till = Till(always(reply({"model": "gpt-4o", "choices": [], "usage": usage})))
    await till.run(Operation.CHAT, SAY)
    assert till.money >= WORST
    assert till.outcome.status == 200, "the outcome was written"


async def test_a_parameter_of_another_operation_bounds_no_reservation() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    await till.run(Operation.CHAT, {**SAY, "max_output_tokens": 1})
    assert till.money >= WORST


async def test_an_edit_is_reserved_at_the_chat_that_performs_it() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    till.allowing.shape = Shape(model="gpt-4o")
    edit = {"model": "text-davinci-edit-001", "input": "helo", "instruction": "Fix it.", "n": 3}
    await till.run(Operation.EDITS, edit)
    assert till.money >= 3 * WORST


async def test_a_tokens_ceiling_binds_an_edit() -> None:
    till = Till(always(reply({"model": "gpt-4o", "choices": [], "usage": used(1, 1)})))
    till.allowing.shape = Shape(model="gpt-4o")
    till.trusting.max_tokens = 7
    await till.run(Operation.EDITS, {"model": "text-davinci-edit-001", "input": "a", "instruction": "b"})
    assert json.loads(till.upstream.asked[0].body)["max_completion_tokens"] == 7


async def test_a_caller_that_leaves_a_stream_is_charged_what_it_may_have_cost() -> None:
    till = Till(always(streamed([event(chunk("Hello")), asyncio.Event()])))
    await till.run(Operation.CHAT, STREAM, leave_after=1)
    assert till.money >= WORST


async def test_a_caller_that_leaves_behind_the_usage_is_charged_exactly() -> None:
    till = Till(openai)
    await till.run(Operation.CHAT, {**STREAM, "stream_options": {"include_usage": True}}, leave_after=3)
    assert till.money == EXACT


async def test_a_caller_that_leaves_when_the_answer_is_over_pays_for_what_was_delivered() -> None:
    waiting = asyncio.Event()
    till = Till(always(streamed([event(chunk("Hello", finish="stop")), waiting])))
    await till.run(Operation.CHAT, STREAM, leave_after=1)
    assert 0 < till.money < 1000


async def test_of_two_answers_the_one_that_is_not_over_is_charged_at_its_worst_case() -> None:
    waiting = asyncio.Event()
    hello = event(chunk("Hello", 0, finish="stop"))
    till = Till(always(streamed([hello, event(chunk("Hello", 1)), waiting])))
    await till.run(Operation.CHAT, {**STREAM, "n": 2, "max_tokens": 1000}, leave_after=2)
    assert 1000 * 10 <= till.money < 1100 * 10


async def test_what_a_model_reasons_unseen_is_charged_at_its_worst_case() -> None:
    till = Till(always(streamed([event(chunk("Hello", finish="stop")), DONE])))
    await till.run(Operation.CHAT, {**STREAM, "model": "o3", "max_completion_tokens": 5000})
    assert till.money >= 5000 * 8


async def test_a_stream_that_a_token_outlives_is_charged_what_it_may_have_cost() -> None:
    till = Till(always(streamed([event(chunk("Hello")), event(chunk(" you")), DONE])))

    async def expire() -> None:
        answer = await till.open(Operation.CHAT, STREAM)
        events = answer.events
        await anext(events)
        till.trusting.over = True
        with pytest.raises(BrokerError):
            await anext(events)
        await events.aclose()

    await expire()
    assert till.outcome.error == "TOKEN_EXPIRED"
    assert till.money >= WORST


async def test_a_stream_that_the_filter_cuts_is_charged_what_it_may_have_cost() -> None:
    till = Till(always(streamed([event(chunk("AKIAIOSFODNN7EXAMPLE or so ")), DONE])))
    till.allowing.cut = ("secret.*",)
    await till.run(Operation.CHAT, STREAM)
    assert till.outcome.error == "CONTENT_BLOCKED"
    assert till.money >= WORST


async def test_a_reply_that_the_filter_refuses_is_charged_as_upstream_counted() -> None:
    message = {"index": 0, "message": {"role": "assistant", "content": "AKIAIOSFODNN7EXAMPLE"}}
    till = Till(always(reply({"model": "gpt-4o", "choices": [message], "usage": used(10, 4)})))
    till.allowing.cut = ("secret.*",)
    await till.run(Operation.CHAT, SAY)
    assert till.outcome.error == "CONTENT_BLOCKED"
    assert till.money == EXACT


async def test_a_background_response_is_charged_its_worst_case_while_it_is_unknown() -> None:
    queued: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-4o",
        "status": "queued",
        "output": [],
        "usage": None,
    }
    till = Till(always(reply(queued)))
    await till.run(Operation.RESPONSES, {"model": "gpt-4o", "input": "x", "background": True})
    assert till.money >= WORST


RESPONSE: dict[str, Any] = {"id": "resp_1", "object": "response", "model": "gpt-4o", "output": []}
ASKED = {"model": "gpt-4o", "input": "x", "background": True}


async def test_a_background_response_is_settled_once_its_usage_is_read() -> None:
    usage = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    done = {**RESPONSE, "status": "completed", "usage": usage}
    answers = [{**RESPONSE, "status": "queued"}, {**RESPONSE, "status": "in_progress"}, done, done]

    async def script(request: UpstreamRequest) -> Reply:
        del request
        return reply(answers.pop(0))

    till = Till(script)
    await till.run(Operation.RESPONSES, ASKED)
    await till.run(Operation.RESPONSES_GET, None, path="/v1/responses/resp_1")
    assert till.money >= WORST
    for _ in range(2):
        await till.run(Operation.RESPONSES_GET, None, path="/v1/responses/resp_1")
        assert (till.money, till.taken(Unit.TOKENS)) == (EXACT, 14)
    assert till.taken(Unit.REQUESTS) == 4


async def test_a_response_that_was_cancelled_unread_stays_at_its_worst_case() -> None:
    answers = [{**RESPONSE, "status": "queued"}, {**RESPONSE, "status": "cancelled", "usage": None}]

    async def script(request: UpstreamRequest) -> Reply:
        del request
        return reply(answers.pop(0))

    till = Till(script)
    await till.run(Operation.RESPONSES, ASKED)
    await till.run(Operation.RESPONSES_CANCEL, None, path="/v1/responses/resp_1/cancel")
    assert till.money >= WORST


async def test_what_waits_to_be_settled_is_bounded() -> None:
    async def script(request: UpstreamRequest) -> Reply:
        return reply({**RESPONSE, "id": f"resp_{json.loads(request.body)['input']}", "status": "queued"})

    till = Till(script)
    backlog = till.pipeline._audit.backlog
    for number in range(3):
        await till.run(Operation.RESPONSES, {**ASKED, "input": str(number)})
    assert len(backlog._waiting) == 3
    one = backlog.take("resp_1")
    assert one is not None
    for number in range(20_000):
        backlog.keep(str(number), one)
    assert len(backlog._waiting) == 10_000


async def test_a_responses_stream_is_charged_what_upstream_counted() -> None:
    usage = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    done = {"object": "response", "model": "gpt-4o", "status": "completed", "output": [], "usage": usage}
    created = {**done, "status": "in_progress", "usage": None}
    events = [
        named({"type": "response.created", "response": created}),
        named({"type": "response.output_text.delta", "item_id": "m", "delta": "Hello"}),
        named({"type": "response.completed", "response": done}),
    ]
    till = Till(always(streamed(events)))
    await till.run(Operation.RESPONSES, {"model": "gpt-4o", "input": "x", "stream": True})
    assert till.money == EXACT


async def test_moderations_are_free() -> None:
    till = Till(always(reply({"model": "omni-moderation-latest", "results": []})))
    await till.run(Operation.MODERATIONS, {"input": "x" * 1000})
    assert till.money == 0


async def test_embeddings_are_charged_what_upstream_counted() -> None:
    usage = {"prompt_tokens": 1000, "total_tokens": 1000}
    till = Till(always(reply({"model": "text-embedding-3-large", "data": [], "usage": usage})))
    await till.run(Operation.EMBEDDINGS, {"model": "text-embedding-3-large", "input": "x"})
    assert till.money == 130


@pytest.mark.parametrize(("options", "each"), [({}, 2.5), ({"ttl": "30m"}, 2.5), ({"ttl": "12h"}, 5.0)])
async def test_input_written_to_the_cache_costs_more(options: dict[str, str], each: float) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 0,
        "prompt_tokens_details": {"cache_write_tokens": 1000},
    }
    till = Till(always(reply({"model": "gpt-6.1-sol", "choices": [], "usage": usage})))
    await till.run(Operation.CHAT, {**SAY, "model": "gpt-6.1-sol", "prompt_cache_options": options})
    assert till.money == 1000 * each


async def test_audio_is_charged_at_the_price_of_audio() -> None:
    usage = {
        "prompt_tokens": 100, "completion_tokens": 50,
        "prompt_tokens_details": {"audio_tokens": 80}, "completion_tokens_details": {"audio_tokens": 40},
    }  # fmt: skip
    till = Till(always(reply({"model": "gpt-audio", "choices": [], "usage": usage})))
    await till.run(Operation.CHAT, {**SAY, "model": "gpt-audio", "modalities": ["text", "audio"]})
    assert till.money == 20 * 2.5 + 80 * 32 + 10 * 10 + 40 * 64


async def test_a_rejected_prediction_is_reserved() -> None:
    till = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    predicted = {"type": "content", "content": "word " * 2000}
    await till.run(Operation.CHAT, {**SAY, "max_completion_tokens": 1, "prediction": predicted})
    assert till.money >= 2000 * 10


async def test_the_tools_of_openai_are_reserved_and_charged_for_their_use() -> None:
    asked = {"model": "gpt-4o", "input": "x", "max_output_tokens": 1, "tools": [{"type": "web_search"}]}
    lost = Till(always(BrokerError(Kind.UPSTREAM_UNAVAILABLE, "no answer")))
    await lost.run(Operation.RESPONSES, asked)
    assert lost.money >= 10_000
    usage = {"input_tokens": 10, "output_tokens": 4}
    done = {
        "object": "response", "model": "gpt-4o", "status": "completed", "usage": usage,
        "output": [{"type": "web_search_call"}, {"type": "web_search_call"}, {"type": "message"}],
    }  # fmt: skip
    till = Till(always(reply(done)))
    await till.run(Operation.RESPONSES, asked)
    assert till.money == EXACT + 20_000


async def test_an_outcome_tells_its_cost_and_the_prices_it_was_reckoned_at() -> None:
    till = Till(openai)
    await till.run(Operation.CHAT, STREAM)
    assert (till.outcome.cost_micro_usd, till.outcome.cost_exact) == (EXACT, True)
    assert till.outcome.price_version
    await till.run(Operation.CHAT, STREAM, leave_after=1)
    assert till.outcome.cost_exact is False


async def test_a_reservation_comes_back_exactly_once() -> None:
    till = Till(openai)
    answer = await till.open(Operation.CHAT, STREAM)
    async for _ in answer.events:
        pass
    for _ in range(3):
        await answer.events.aclose()
    assert till.money == EXACT
    assert till.taken(Unit.REQUESTS) == 1


async def test_a_second_key_answers_and_only_its_answer_costs() -> None:
    answers = [reply({}, 429), reply({"model": "gpt-4o", "choices": [], "usage": used(10, 4)})]

    async def script(request: UpstreamRequest) -> Reply:
        del request
        return answers.pop(0)

    till = Till(script)
    await till.run(Operation.CHAT, SAY)
    assert (till.money, till.taken(Unit.REQUESTS)) == (EXACT, 1)


@pytest.mark.parametrize("operation", Operation)
async def test_an_operation_is_free_only_where_openai_says_so(operation: Operation) -> None:
    """A new operation that sends a body costs what its model does, until somebody says that it is free."""
    till = Till(always(reply({"model": "gpt-4o", "usage": used(10, 4)})))
    till.allowing.shape = Shape(model="gpt-4o")
    await till.run(operation, {**SAY, "input": "x", "instruction": "x"}, path="/v1/x")
    free = operation.value in FREE
    assert till.money == (0 if free else EXACT)
    assert (till.outcome.tokens_in is None) is free


FREE = {
    "chat.list", "chat.get", "chat.update", "chat.delete", "chat.messages", "moderations", "models",
    "models.get", "models.delete", "responses.get", "responses.delete", "responses.cancel",
    "responses.input_items", "responses.input_tokens",
}  # fmt: skip
