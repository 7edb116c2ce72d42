"""The middleware of every RPC: who calls, until when, and how it ends. One place renders every failure.

Knows: the servicer context. Must not know: what an RPC does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import grpc
import grpc.aio

from broker.errors import BrokerError, Kind, bad_request
from broker.listeners.grpc import errors
from broker.listeners.grpc.dependencies import TRANSPORT, ListenerDependencies
from broker.listeners.grpc.metadata import Metadata
from broker.listeners.grpc.turn import turn_of
from broker.listeners.overload import BegunRequest, Sender
from broker.model.request_context import RequestContext
from broker.model.subject import Peer

MAX_SECONDS = 600.0
_END = "-----END CERTIFICATE-----"
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"  # generic only for the type checker


@dataclass(slots=True, eq=False)  # not frozen: that would cost four times as much, with each call
class RpcContext:
    """One RPC under way: its request bytes, who sent them, how to send messages before the last word, and
    whom to tell that it waits for upstream alone.
    """

    context: RequestContext
    request: bytes = field(repr=False)
    metadata: tuple[tuple[str, str | bytes], ...] = field(repr=False)
    announce: Callable[[Metadata], Awaitable[None]] = field(repr=False)
    send: Callable[[bytes], Awaitable[None]] = field(repr=False)
    admitted: Callable[[], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RpcResult:
    """How a rpc ends well: the reply's bytes (unary; a stream has sent its own) and trailers."""

    body: bytes = field(default=b"", repr=False)
    trailers: Metadata = ()


Behaviour = Callable[[RpcContext], Awaitable[RpcResult]]


class RpcMiddleware:
    """Turns behaviours into grpc handlers of raw bytes, so that a malformed message is answered by the
    error table like everything else.
    """

    def __init__(self, dependencies: ListenerDependencies) -> None:
        self._dependencies = dependencies

    def handler(self, behaviour: Behaviour, *, streams: bool) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of one RPC; `streams` says whether it sends messages before it ends."""

        async def unary(_request: object, context: Context) -> bytes:
            return (await self._serve(behaviour, context)).body

        async def stream(_request: object, context: Context) -> None:
            await self._serve(behaviour, context)

        # The request is one message, but as a stream's it is read when we ask for it: not while it waits.
        if streams:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.stream_unary_rpc_method_handler(unary)

    async def _serve(self, behaviour: Behaviour, context: Context) -> RpcResult:
        call_id = self._dependencies.new_call_id()
        own = (("x-broker-call-id", call_id),)
        deadline = asyncio.timeout(_seconds(context))
        try:
            async with deadline:
                answer = await self._in_turn(behaviour, call_id, context, own)
        except BrokerError as error:
            refusal = errors.OVERLOADED if error.kind is Kind.OVERLOADED else errors.refusal(error)
        except errors.UpstreamRefusedError as error:
            refusal = errors.upstream_refusal(error.reply)
        except Exception as error:  # noqa: BLE001 - the middleware: grpc would send the text of a defect to the caller
            refusal = self._defect(call_id, error, deadline)
        else:
            context.set_trailing_metadata((*answer.trailers, *own))
            return answer
        await context.abort(refusal.code, refusal.message, (*refusal.trailers, *own))
        raise AssertionError("abort does not return")

    async def _in_turn(
        self, behaviour: Behaviour, call_id: str, context: Context, own: Metadata
    ) -> RpcResult:
        peer, shedder = self._peer(context), self._dependencies.shedder
        sender = Sender(peer, TRANSPORT)
        begun = await turn_of(sender, call_id, shedder)
        try:
            request = await context.read()
            if not isinstance(request, bytes):  # it ended without one
                raise bad_request(
                    "The RPC came without its request message.", "Send it; an empty one counts."
                )
            asked = RequestContext(call_id, peer, TRANSPORT)
            return await behaviour(_rpc(asked, request, context, own, begun))
        finally:
            begun.ended()

    def _peer(self, context: Context) -> Peer:
        shown = context.auth_context()
        leaf = tuple(shown.get("x509_pem_cert", ()))
        if not leaf:
            raise BrokerError(
                Kind.CERTIFICATE_INVALID,
                "No client certificate came with this connection.",
                remedy="Open the channel with the service's X.509-SVID: grpc.ssl_channel_credentials(…).",
            )
        return self._dependencies.read_peer(_chain(*leaf, *shown.get("x509_pem_cert_chain", ())))

    def _defect(self, call_id: str, error: Exception, deadline: asyncio.Timeout) -> errors.RpcFailure:
        if isinstance(error, TimeoutError) and deadline.expired():
            return errors.RpcFailure(
                grpc.StatusCode.DEADLINE_EXCEEDED, "The call took longer than it may.", ()
            )
        self._dependencies.on_defect(call_id, error)
        remedy = "Report it to the operator with the x-broker-call-id of this call."
        return errors.refusal(BrokerError(Kind.INTERNAL, "The broker failed.", remedy=remedy))


def _rpc(
    asked: RequestContext, request: bytes, context: Context, own: Metadata, begun: BegunRequest
) -> RpcContext:
    async def announce(metadata: Metadata) -> None:
        await context.send_initial_metadata((*metadata, *own))

    metadata = tuple(context.invocation_metadata() or ())
    return RpcContext(asked, request, metadata, announce, context.write, begun.admitted)


@lru_cache(maxsize=4096)
def _chain(*pem: bytes) -> tuple[bytes, ...]:
    """The certificates that the client has sent, in DER, leaf first: gRPC gives leaf and others apart."""
    found = b"".join(pem).decode("ascii").split(_END)[:-1]
    return tuple(ssl.PEM_cert_to_DER_cert(one.lstrip() + _END) for one in found)


def _seconds(context: Context) -> float:
    """How long the call may take: what its deadline leaves, and 600 s without one."""
    remaining = context.time_remaining()
    return MAX_SECONDS if remaining is None else min(float(remaining), MAX_SECONDS)
