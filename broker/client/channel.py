"""gRPC channels to the broker: mTLS, a token in every call, certificates that are taken up as they change.

Knows: channels. Must not know: any service or message, how a token gets into a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import grpc
import grpc.aio

from broker.client.credentials import Credentials
from broker.client.interceptors import CallTokens, TokenInterceptor, aio_interceptors
from broker.client.renewal import Renewed
from broker.client.token import WHATEVER_IS_GRANTED, TokenRequest

_OPTIONS = (
    # grpc would try again after up to two minutes, and calls would fail long after the broker is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
)


class _Rpc:
    """A method of whichever channel is current when it is called. It is every kind of multi-callable at once:
    which one, `kind` says.
    """

    def __init__(self, channels: Renewed[Any], kind: str, arguments: tuple[Any, ...], options: Any) -> None:
        self._channels = channels
        self._make: Callable[[Any], Any] = lambda channel: getattr(channel, kind)(*arguments, **options)
        self._channel = channels.current()
        self._rpc = self._make(self._channel)

    def _now(self) -> Any:
        channel = self._channels.current()
        if channel is not self._channel:
            self._channel, self._rpc = channel, self._make(channel)
            self._channels.outdated()  # calls under way hold on to the channel they began on
        return self._rpc

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._now()(*arguments, **options)

    def with_call(self, *arguments: Any, **options: Any) -> Any:
        return self._now().with_call(*arguments, **options)

    def future(self, *arguments: Any, **options: Any) -> Any:
        return self._now().future(*arguments, **options)


class _Methods:
    """The four kinds of methods that a channel offers, on channels that are exchanged."""

    _channels: Renewed[Any]

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Rpc(self._channels, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Rpc(self._channels, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Rpc(self._channels, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Rpc(self._channels, "stream_stream", arguments, options)


class _RenewingChannel(_Methods, grpc.Channel):
    def __init__(self, channels: Renewed[grpc.Channel]) -> None:
        self._channels = channels

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool | None = False
    ) -> None:
        self._channels.current().subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._channels.current().unsubscribe(callback)

    def close(self) -> None:
        for channel in self._channels.all():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class _RenewingAioChannel(_Methods, grpc.aio.Channel):
    def __init__(self, channels: Renewed[grpc.aio.Channel]) -> None:
        self._channels = channels

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        state: grpc.ChannelConnectivity = self._channels.current().get_state(try_to_connect)
        return state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channels.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channels.current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        for channel in self._channels.all():
            await channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()


def grpc_channel(
    target: str, broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED
) -> grpc.Channel:
    """A channel to the gRPC address `target` (`host:port`) whose tokens come from `broker_url` (https).

    A token is renewed after two thirds of its life. Replaced certificate files count from the next call on.
    While no broker is there, calls fail at once with UNAVAILABLE; a second after it is back they go through.
    A call is never repeated.
    """

    def make() -> grpc.Channel:
        tokens = CallTokens(broker_url, credentials, wish)  # of the certificate that is there now
        channel = grpc.secure_channel(target, credentials.channel_credentials(), _OPTIONS)
        return grpc.intercept_channel(channel, TokenInterceptor(tokens))

    return _RenewingChannel(Renewed(credentials, make))


def aio_grpc_channel(
    target: str, broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED
) -> grpc.aio.Channel:
    """The same for asyncio."""

    def make() -> grpc.aio.Channel:
        tokens = CallTokens(broker_url, credentials, wish)  # of the certificate that is there now
        return grpc.aio.secure_channel(
            target, credentials.channel_credentials(), _OPTIONS, interceptors=aio_interceptors(tokens)
        )

    return _RenewingAioChannel(Renewed(credentials, make))
