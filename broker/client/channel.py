"""gRPC channels to the broker: mTLS, and the token in every call's `authorization` metadata.

Knows: channels and call credentials. Must not know: any service or message.
"""

from __future__ import annotations

import grpc
import grpc.aio
import httpx

from broker.client.auth import BrokerAuth
from broker.client.credentials import Credentials
from broker.client.token import WHATEVER_IS_GRANTED, TokenRequest
from broker.errors import BrokerError


class _TokenMetadata(grpc.AuthMetadataPlugin):
    """Call credentials. gRPC calls it in a thread of its own, for aio channels too, so that it may block."""

    def __init__(self, broker_url: str, credentials: Credentials, wish: TokenRequest) -> None:
        self._auth = BrokerAuth(broker_url, wish)
        self._context = credentials.ssl_context()
        self._purpose = (("x-broker-purpose", wish.purpose),) if wish.purpose is not None else ()

    def __call__(self, _context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            token = self._auth.token(self._context)
        except (BrokerError, httpx.HTTPError) as error:
            callback((), error)  # the call ends UNAVAILABLE or UNAUTHENTICATED with this text
            return
        callback((("authorization", f"Bearer {token.value}"), *self._purpose), None)


def grpc_channel(
    target: str, broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED
) -> grpc.Channel:
    """A channel to the gRPC address `target` (`host:port`) whose tokens come from `broker_url` (https).

    A token is renewed after two thirds of its life; a call is never repeated.
    """
    return grpc.secure_channel(target, _call_credentials(broker_url, credentials, wish))


def aio_grpc_channel(
    target: str, broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED
) -> grpc.aio.Channel:
    """The same for asyncio."""
    return grpc.aio.secure_channel(target, _call_credentials(broker_url, credentials, wish))


def _call_credentials(
    broker_url: str, credentials: Credentials, wish: TokenRequest
) -> grpc.ChannelCredentials:
    plugin = _TokenMetadata(broker_url, credentials, wish)
    return grpc.composite_channel_credentials(
        credentials.channel_credentials(), grpc.metadata_call_credentials(plugin, "broker-token")
    )
