"""Handlers that come with gRPC's own packages (health, reflection), so that they fail as ours do.

Knows: handlers and their messages. Must not know: what any RPC does. Left alone, grpc answers a malformed
message with the name of a Python class.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic only for the type checker
_MALFORMED = "The request is no message of this RPC."


def parsed(handler: Any) -> Handler:
    """The same RPC of an aio server, given as a grpc.RpcMethodHandler: a request that cannot be parsed ends
    it with INVALID_ARGUMENT.
    """
    parse: Callable[[bytes], Any] = handler.request_deserializer
    answer = {"response_serializer": handler.response_serializer}
    if handler.request_streaming:
        streams = handler.stream_stream

        async def stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            async def messages() -> AsyncIterator[Any]:
                async for request in requests:
                    yield await _message(parse, request, context)

            async for reply in streams(messages(), context):
                yield reply

        return grpc.stream_stream_rpc_method_handler(stream_stream, **answer)
    if handler.response_streaming:
        stream = handler.unary_stream

        async def unary_stream(request: bytes, context: Any) -> AsyncIterator[Any]:
            async for reply in stream(await _message(parse, request, context), context):
                yield reply

        return grpc.unary_stream_rpc_method_handler(unary_stream, **answer)
    unary = handler.unary_unary

    async def unary_unary(request: bytes, context: Any) -> Any:
        return await unary(await _message(parse, request, context), context)

    return grpc.unary_unary_rpc_method_handler(unary_unary, **answer)


async def _message(parse: Callable[[bytes], Any], request: bytes, context: Any) -> Any:
    try:
        return parse(request)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _MALFORMED)
