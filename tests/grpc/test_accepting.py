"""RPCs do not wait inside of gRPC, where nobody has turns: they are taken as they come."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2
from broker.model.call import Reply
from tests.grpc.conftest import GrpcSetup, channel_credentials
from tests.grpc.pki import Pair

RPCS = 40
PATH = "/broker.v1.OpenAIService/CreateChatCompletion"
_SAID = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="hello"))
ASKED = openai_pb2.CreateChatCompletionRequest(model="gpt-4o-mini", messages=[_SAID]).SerializeToString()


async def test_rpcs_that_have_come_are_taken_side_by_side(scene: GrpcSetup, workload: Pair) -> None:
    """Left alone, grpc.aio takes one of a method in about three turns of the event loop; a newer version that
    does it otherwise fails here.
    """

    async def never(*_asked: object) -> Reply:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # nor does it

    scene.dependencies.answering = never
    shedder = scene.dependencies.shedder
    credentials = channel_credentials(scene.authority, workload)
    with grpc.secure_channel(scene.server.address, credentials) as channel:
        call: Any = channel.unary_unary(PATH)
        answers = [call.future(ASKED, timeout=30)]
        while not shedder.under_way:  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.01)
        answers += [call.future(ASKED, timeout=30) for _ in range(RPCS)]
        time.sleep(1)  # noqa: ASYNC251 - the loop is busy, and all come meanwhile
        turns = 0
        while shedder.waiting + shedder.under_way <= RPCS:
            turns += 1
            assert turns < RPCS, "they were taken one after the other"
            await asyncio.sleep(0)
        for answer in answers:
            answer.cancel()
