"""OpenAIService: a message → InboundCall → the pipeline → a message, or one for each event of a stream.

Knows: how calls and replies look as messages. Must not know: what the pipeline does with a call.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote

import orjson
from google.protobuf.message import DecodeError, Message

from broker.errors import BrokerError, Kind
from broker.lanes import LARGE_BYTES, Lane
from broker.listeners.decode import decode_bodiless, decode_document, with_purpose
from broker.listeners.fields import name as check_name
from broker.listeners.fields import refuse
from broker.listeners.grpc.codec import DocumentError, from_document, to_document
from broker.listeners.grpc.continued import ContinuedMessages
from broker.listeners.grpc.errors import UpstreamRefusedError
from broker.listeners.grpc.metadata import Headers, bearer_of, forwarded_headers, passed_on, purpose_of
from broker.listeners.grpc.middleware import Behaviour, RpcContext, RpcResult
from broker.listeners.grpc.rules import CallRule
from broker.listeners.grpc.structs import write_text
from broker.listeners.grpc.wirecount import has_more_fields
from broker.listeners.interfaces import CallInterface
from broker.model.call import Call, EventBatch, Reply, StreamReply
from broker.model.operation import Operation
from broker.model.request_context import RequestContext
from broker.shaping.sse import field as sse_field

MAX_FIELDS = 524_288
"""Of a message, those within and each number of an array included."""
_OK = range(200, 300)
_BAD_GATEWAY = 502
# Quoted, a slash stays inside its segment; but who stands before upstream may unquote and then resolve dots.
_CLIMBING = re.compile(r"(?:^|[/\\])\.{1,2}(?:$|[/\\])")


@dataclass(frozen=True, slots=True)
class RpcMethod:
    """One RPC of OpenAIService: its rule, its message types, and whether it streams."""

    rule: CallRule
    request: type[Message]
    reply: type[Message]
    streams: bool


@dataclass(slots=True, eq=False)  # not frozen: that would cost four times as much, with each call
class GrpcInboundCall:
    """Implements `call.inbound.InboundCall`; the request is parsed only once its sender is authenticated."""

    context: RequestContext
    bearer: str | None
    rpc_method: RpcMethod
    headers: Headers
    request: bytes = field(repr=False)
    purpose: str | None = field(repr=False)
    admitted: Callable[[], None] = field(repr=False)

    @property
    def operation(self) -> Operation:
        return self.rpc_method.rule.operation

    async def decode(self, lane: Lane) -> Call:
        """The Call. Raises BAD_REQUEST naming the parameter in OpenAI's spelling."""
        large = len(self.request) > LARGE_BYTES
        return await lane.once(len(self.request), self._decoded) if large else self._decoded()

    def _decoded(self) -> Call:
        if has_more_fields(self.rpc_method.request, self.request, MAX_FIELDS):
            raise refuse("body", f"it holds more than {MAX_FIELDS} fields")
        try:
            message = self.rpc_method.request.FromString(self.request)
            _refuse_unknown(message)
            if self.rpc_method.rule.method == "GET":
                return with_purpose(self._bodiless(getattr(message, "model", None)), self.purpose)
            return with_purpose(self._whole(to_document(message)), self.purpose)
        except DecodeError:
            raise refuse("body", "it is not a message of this RPC") from None
        except DocumentError as error:
            raise refuse(error.param or "body", error.what) from None

    def _bodiless(self, model: str | None) -> Call:
        rule = self.rpc_method.rule
        path = rule.path
        if model is not None:
            check_name(model, "model")
            if _CLIMBING.search(model):
                raise refuse("model", "expected the name of a model")
            path = path.replace("{model}", quote(model, safe=":"))
        return decode_bodiless(rule.operation, rule.method, path, model, stream=False, headers=self.headers)

    def _whole(self, document: dict[str, object]) -> Call:
        rule = self.rpc_method.rule
        if self.rpc_method.streams:
            document.setdefault("stream", True)
        if (document.get("stream") is True) is not self.rpc_method.streams:
            raise refuse("stream", "it contradicts the RPC", "Call Stream… to stream, Create… otherwise.")
        return decode_document(
            rule.operation, rule.method, rule.path, document, _body(document), self.headers
        )


def _refuse_unknown(message: Message) -> None:
    """A field of a newer schema would be dropped on the way to policy and upstream: it is refused instead."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise refuse("body", "it has fields that this broker's protos do not", "Send them in `extra`.")


class CallServicer:
    """Makes the behaviour of each RPC of OpenAIService."""

    def __init__(self, calls: CallInterface, forwarded: tuple[str, ...]) -> None:
        self._calls = calls
        self._forwarded = forwarded

    def behaviour(self, rpc_method: RpcMethod) -> Behaviour:
        """What the RPC does: the RpcMiddleware calls it."""
        serve = self._stream if rpc_method.streams else self._unary
        return lambda rpc: serve(rpc_method, rpc)

    async def _unary(self, rpc_method: RpcMethod, rpc: RpcContext) -> RpcResult:
        reply = await self._run(rpc_method, rpc)
        if isinstance(reply, StreamReply):
            await _batches(reply).aclose()
            raise _unusable("a stream where one answer was asked for")
        if reply.status not in _OK:
            raise UpstreamRefusedError(reply)
        if len(reply.body) > LARGE_BYTES:
            message = await asyncio.to_thread(from_document_bytes, rpc_method.reply, reply.body)
        else:
            message = from_document_bytes(rpc_method.reply, reply.body)
        return RpcResult(message.SerializeToString(), passed_on(reply.headers))

    async def _stream(self, rpc_method: RpcMethod, rpc: RpcContext) -> RpcResult:
        reply = await self._run(rpc_method, rpc)
        announce, send = rpc.announce, rpc.send
        del rpc  # a stream may last long, and need not hold its prompt and token that long
        if isinstance(reply, Reply):
            if reply.status not in _OK:
                raise UpstreamRefusedError(reply)
            raise _unusable("one answer where a stream was asked for")
        headers = passed_on(reply.headers)
        failure: bytes | None = None
        messages = ContinuedMessages()
        async with aclosing(_batches(reply)) as batches:
            await announce(headers)
            async for batch in batches:
                for event in batch:
                    encoded = messages.next(event)
                    if encoded is not None:
                        await send(encoded)
                        continue
                    text = _data(event)
                    if text is None:
                        continue
                    document = _parse(text)
                    if "error" in document and "type" not in document:
                        failure = text  # the pipeline still records how the stream ends
                        continue
                    message = _chunk(rpc_method.reply, document)
                    messages.learn(event, document, message)
                    await send(message.SerializeToString())
        if failure is not None:
            raise UpstreamRefusedError(Reply(_BAD_GATEWAY, reply.headers, failure))
        return RpcResult(trailers=headers)

    async def _run(self, rpc_method: RpcMethod, rpc: RpcContext) -> Reply | StreamReply:
        inbound = GrpcInboundCall(
            rpc.context,
            bearer_of(rpc.metadata),
            rpc_method,
            forwarded_headers(rpc.metadata, self._forwarded),
            rpc.request,
            purpose_of(rpc.metadata),
            rpc.admitted,
        )
        return await self._calls.run(inbound)


def from_document_bytes(reply: type[Message], body: bytes) -> Message:
    """The reply message of a JSON body. Raises UPSTREAM_UNAVAILABLE where it is no JSON object."""
    return _chunk(reply, _parse(body))


def _chunk(reply: type[Message], document: dict[str, object]) -> Message:
    try:
        return from_document(reply, document)
    except DocumentError:
        raise _unusable("JSON that no message can hold") from None


def _parse(text: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise _unusable("something that is no JSON object")
    return document


def _body(document: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:  # an integer beyond 64 bits, or nesting beyond what orjson writes
        return write_text(document).encode()


def _batches(reply: StreamReply) -> AsyncGenerator[EventBatch, None]:
    """The events as what they are documented to be: an iterator with `aclose()`."""
    return cast("AsyncGenerator[EventBatch, None]", reply.events)


def _data(event: bytes) -> bytes | None:
    """What an event says, unless that is the end."""
    text = sse_field(event, b"data")
    return text if text != b"[DONE]" else None


def _unusable(what: str) -> BrokerError:
    return BrokerError(
        Kind.UPSTREAM_UNAVAILABLE,
        f"The upstream answered with {what}.",
        remedy="Ask again later; if it stays, call the same route over HTTPS.",
    )
