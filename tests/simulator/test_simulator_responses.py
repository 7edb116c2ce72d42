"""The responses API through the real SDK."""

from __future__ import annotations

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError


async def test_unary_response(sdk: AsyncOpenAI) -> None:
    reply = await sdk.responses.create(model="gpt-4o-mini", input="Hello", instructions="Be brief.")
    assert reply.output_text.startswith("Echo: Hello")
    assert reply.status == "completed"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens


async def test_stream_is_typed_numbered_and_has_no_done(sdk: AsyncOpenAI, http: httpx.AsyncClient) -> None:
    stream = await sdk.responses.create(model="gpt-4o-mini", input="Hello", stream=True)
    events = [event async for event in stream]
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == events[-1].response.output_text
    body = {"model": "gpt-4o-mini", "input": "Hello", "stream": True}
    raw = (await http.post("/v1/responses", json=body)).text
    assert raw.startswith("event: response.created\ndata: {")
    assert "[DONE]" not in raw


async def test_limit_makes_it_incomplete(sdk: AsyncOpenAI) -> None:
    stream = await sdk.responses.create(
        model="gpt-4o",
        input="Hello",
        max_output_tokens=16,
        stream=True,
        extra_headers={"x-sim-words": "40"},
    )
    last = [event async for event in stream][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_function_call_streams(sdk: AsyncOpenAI) -> None:
    stream = await sdk.responses.create(
        model="gpt-4o",
        input="Oslo",
        tools=[
            {
                "type": "function",
                "name": "weather",
                "strict": True,
                "parameters": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
            }
        ],
        tool_choice="required",
        stream=True,
    )
    last = [event async for event in stream][-1]
    assert last.type == "response.completed"
    call = last.response.output[0]
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')


async def test_stored_responses_live_their_life(sdk: AsyncOpenAI) -> None:
    made = await sdk.responses.create(model="gpt-4o", input="Keep me")
    assert (await sdk.responses.retrieve(made.id)).output_text == made.output_text
    items = [item async for item in sdk.responses.input_items.list(made.id)]
    assert items[0].type == "message"
    follow = await sdk.responses.create(model="gpt-4o", input="More", previous_response_id=made.id)
    assert follow.previous_response_id == made.id
    with pytest.raises(BadRequestError, match="synchronous"):
        await sdk.responses.cancel(made.id)
    await sdk.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        await sdk.responses.retrieve(made.id)
    with pytest.raises(BadRequestError, match="not found"):
        await sdk.responses.create(model="gpt-4o", input="More", previous_response_id=made.id)


async def test_unstored_response_is_forgotten(sdk: AsyncOpenAI) -> None:
    made = await sdk.responses.create(model="gpt-4o", input="Forget me", store=False)
    with pytest.raises(NotFoundError):
        await sdk.responses.retrieve(made.id)


async def test_background_response_can_be_cancelled(sdk: AsyncOpenAI) -> None:
    made = await sdk.responses.create(model="gpt-4o", input="Later", background=True)
    assert made.status == "queued"
    assert (await sdk.responses.cancel(made.id)).status == "cancelled"


async def test_input_tokens_are_what_the_response_reports(sdk: AsyncOpenAI) -> None:
    counted = await sdk.responses.input_tokens.count(model="gpt-4o", input="Count these words")
    made = await sdk.responses.create(model="gpt-4o", input="Count these words")
    assert made.usage is not None
    assert counted.input_tokens == made.usage.input_tokens > 0
