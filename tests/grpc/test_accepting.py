"""RPCs do not wait inside of gRPC, where nobody has turns: they are taken as they come."""

from __future__ import annotations

import asyncio
import time

import grpc

from tests.grpc.conftest import GrpcSetup, channel_credentials
from tests.grpc.pki import Pair

RPCS = 40
PATH = "/broker.v1.OpenAIService/CreateChatCompletion"


async def test_rpcs_that_have_come_are_taken_side_by_side(scene: GrpcSetup, workload: Pair) -> None:
    """Left alone, grpc.aio takes one of a method in about three turns of the event loop; a newer version that
    does it otherwise fails here.
    """
    credentials = channel_credentials(scene.authority, workload)
    with grpc.secure_channel(scene.server.address, credentials) as channel:
        call = channel.unary_unary(PATH)
        first = call.future(b"", timeout=30)
        while not first.done():  # noqa: ASYNC110 - it is done by another thread
            await asyncio.sleep(0.01)
        before = len(scene.dependencies.inbounds)
        answers = [call.future(b"", timeout=30) for _ in range(RPCS)]
        time.sleep(1)  # noqa: ASYNC251 - the loop is busy, and all come meanwhile
        turns = 0
        while len(scene.dependencies.inbounds) - before < RPCS:
            turns += 1
            assert turns < 2 * RPCS, "they were taken one after the other"
            await asyncio.sleep(0)
        for answer in answers:
            answer.cancel()
