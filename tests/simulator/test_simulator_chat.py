"""Chat completions through the real SDK: unary, streams, tools, stored ones."""

from __future__ import annotations

import asyncio

import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from broker.simulator import Simulator

TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


async def test_unary_reply_echoes_and_counts(sdk: AsyncOpenAI) -> None:
    reply = await sdk.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}],
        extra_headers={"x-sim-words": "9"},
    )
    text = reply.choices[0].message.content
    assert text is not None
    assert text.startswith("Echo: Hello there")
    assert len(text.split()) == 9
    assert reply.model == "gpt-4o-mini-2024-07-18"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 9
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 9
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.prompt_tokens_details.cached_tokens == 0


async def test_equal_requests_get_equal_bytes(sdk: AsyncOpenAI) -> None:
    replies = [
        await sdk.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Again"}], n=3
        )
        for _ in range(2)
    ]
    assert replies[0].content == replies[1].content
    assert replies[0].headers["x-request-id"] != replies[1].headers["x-request-id"]
    assert len({choice.message.content for choice in replies[0].parse().choices}) == 3


async def test_stream_ends_with_usage_and_equals_the_unary_text(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"x-sim-words": "20"},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len(chunks) == 20 + 3
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert words.startswith("Echo: Hello")
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_stream_without_options_has_no_usage(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True, n=2
    )
    chunks = [chunk async for chunk in stream]
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    assert all(chunk.usage is None for chunk in chunks)


async def test_limit_and_stop_end_the_text(sdk: AsyncOpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]
    limited = await sdk.chat.completions.create(model="gpt-4o", messages=messages, max_completion_tokens=2)
    assert limited.choices[0].message.content == "Echo: one"
    assert limited.choices[0].finish_reason == "length"
    empty = await sdk.chat.completions.create(model="gpt-4o", messages=messages, max_completion_tokens=0)
    assert empty.choices[0].message.content == ""
    stopped = await sdk.chat.completions.create(model="gpt-4o", messages=messages, stop=[" three"])
    assert stopped.choices[0].message.content == "Echo: one two"


async def test_required_tool_is_called_with_fitting_arguments(sdk: AsyncOpenAI) -> None:
    reply = await sdk.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Oslo"}], tools=[TOOL], tool_choice="required"
    )
    assert reply.choices[0].finish_reason == "tool_calls"
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "weather"
    assert calls[0].function.arguments == '{"city":"Oslo","days":7}'


async def test_streamed_tool_call_assembles(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Oslo"}],
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        stream=True,
    )
    deltas = [chunk.choices[0].delta.tool_calls async for chunk in stream]
    functions = [calls[0].function for calls in deltas if calls]
    assert functions[0] is not None
    assert functions[0].name == "weather"
    assert (
        "".join(function.arguments or "" for function in functions if function) == '{"city":"Oslo","days":7}'
    )


async def test_logprobs_and_json_come_when_asked(sdk: AsyncOpenAI) -> None:
    reply = await sdk.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "as json"}],
        response_format={"type": "json_object"},
        logprobs=True,
        top_logprobs=2,
    )
    assert reply.choices[0].message.content == '{"echo": "as json"}'
    assert reply.choices[0].logprobs is not None
    assert reply.choices[0].logprobs.content is not None
    assert len(reply.choices[0].logprobs.content[0].top_logprobs) == 2


async def test_stored_chats_live_their_life(sdk: AsyncOpenAI) -> None:
    made = await sdk.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Keep me"}],
        store=True,
        metadata={"team": "a"},
    )
    await sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Not me"}])
    assert [chat.id async for chat in sdk.chat.completions.list()] == [made.id]
    assert [chat.id async for chat in sdk.chat.completions.list(metadata={"team": "b"})] == []
    updated = await sdk.chat.completions.update(made.id, metadata={"team": "b"})
    assert updated.metadata == {"team": "b"}
    assert (await sdk.chat.completions.retrieve(made.id)).metadata == {"team": "b"}
    kept = [message async for message in sdk.chat.completions.messages.list(made.id)]
    assert [message.content for message in kept] == ["Be brief.", "Keep me"]
    assert (await sdk.chat.completions.delete(made.id)).deleted is True
    with pytest.raises(NotFoundError):
        await sdk.chat.completions.retrieve(made.id)


async def test_listing_goes_on_page_by_page(sdk: AsyncOpenAI) -> None:
    for number in range(5):
        await sdk.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": str(number)}], store=True
        )
    first = await sdk.chat.completions.list(limit=2)
    assert first.has_next_page()
    assert len({chat.id async for chat in first}) == 5


async def test_synchronous_sdk(simulator: Simulator) -> None:
    def call() -> str | None:
        with OpenAI(base_url=simulator.url + "/v1", api_key=simulator.key) as client:
            reply = client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Sync"}]
            )
            return reply.choices[0].message.content

    assert (await asyncio.to_thread(call) or "").startswith("Echo: Sync")
