"""Completions, embeddings, moderations and models through the real SDK."""

from __future__ import annotations

import base64
import re
from array import array
from math import isclose

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError, PermissionDeniedError
from openai.types import ModerationImageURLInputParam, ModerationMultiModalInputParam

from broker.listeners.https.routes import ROUTES
from broker.model.operation import Operation
from broker.simulator.models import FINE_TUNED
from broker.simulator.routes import OPERATIONS

GONE = {"/v1/edits"}  # the broker performs it with a chat


def test_every_operation_of_the_broker_is_served() -> None:
    paths = {
        (route.method, re.sub(r"{\w+}", "x", route.path))
        for route in ROUTES
        if isinstance(route.authorization, Operation) and route.path not in GONE
    }
    assert all(OPERATIONS.match(method, path) for method, path in paths)


async def test_completion_of_several_prompts(sdk: AsyncOpenAI) -> None:
    reply = await sdk.completions.create(
        model="gpt-3.5-turbo-instruct", prompt=["First", "Second"], n=2, echo=True, max_tokens=4
    )
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert reply.choices[0].text.startswith("FirstEcho: First")
    assert reply.choices[3].text.startswith("SecondEcho: Second")
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 16


async def test_completion_of_tokens_and_stream(sdk: AsyncOpenAI) -> None:
    reply = await sdk.completions.create(model="davinci-002", prompt=[1, 2, 3])
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == 3
    stream = await sdk.completions.create(
        model="davinci-002", prompt="Go", stream=True, stream_options={"include_usage": True}, max_tokens=5
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]).startswith("Echo: Go")
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


async def test_embeddings_are_unit_vectors_of_their_text(sdk: AsyncOpenAI) -> None:
    reply = await sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b", "a"])
    vectors = [item.embedding for item in reply.data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert len(vectors[0]) == 1536
    assert isclose(sum(value * value for value in vectors[0]), 1, rel_tol=1e-5)
    assert reply.usage.prompt_tokens == 3


async def test_embedding_formats_agree(http: httpx.AsyncClient) -> None:
    body = {"model": "text-embedding-3-large", "input": [[1, 2], [3]], "dimensions": 256}
    plain = (await http.post("/v1/embeddings", json=body)).json()
    packed = (await http.post("/v1/embeddings", json=body | {"encoding_format": "base64"})).json()
    assert plain["usage"]["prompt_tokens"] == 3
    for one, other in zip(plain["data"], packed["data"], strict=True):
        assert len(one["embedding"]) == 256
        assert array("f", base64.b64decode(other["embedding"])).tolist() == one["embedding"]


async def test_embeddings_need_an_embedding_model(sdk: AsyncOpenAI) -> None:
    with pytest.raises(PermissionDeniedError):
        await sdk.embeddings.create(model="gpt-4o", input="a")


async def test_moderation_flags_each_text(sdk: AsyncOpenAI) -> None:
    reply = await sdk.moderations.create(input=["I will kill the lights", "A fine day"])
    assert [result.flagged for result in reply.results] == [True, False]
    assert reply.results[0].categories.violence is True
    image: ModerationImageURLInputParam = {
        "type": "image_url",
        "image_url": {"url": "https://example.org/a.png"},
    }
    given: list[ModerationMultiModalInputParam] = [{"type": "text", "text": "fine"}, image]
    parts = await sdk.moderations.create(model="omni-moderation-latest", input=given)
    assert len(parts.results) == 1
    assert parts.results[0].category_applied_input_types.violence == ["image", "text"]


async def test_models_list_get_and_delete(sdk: AsyncOpenAI) -> None:
    listed = [model.id async for model in sdk.models.list()]
    assert {"gpt-4o", "text-embedding-3-small", FINE_TUNED} <= set(listed)
    assert (await sdk.models.retrieve("gpt-4o")).id == "gpt-4o"
    with pytest.raises(PermissionDeniedError):
        await sdk.models.delete("gpt-4o")
    assert (await sdk.models.delete(FINE_TUNED)).deleted is True
    with pytest.raises(NotFoundError):
        await sdk.models.retrieve(FINE_TUNED)
