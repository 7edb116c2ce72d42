"""The client library for services: mTLS credentials, a token that renews itself, ready-made clients.

Knows: the broker's token endpoint and how a token travels. Must not know: anything of the server.

    credentials = Credentials("svc.pem", "svc.key", "ca.pem")

    # the OpenAI SDK, sync or async (the extra `openai`)
    client = openai_client("https://broker:8443", credentials, TokenRequest(scope="chat:gpt-4o"))

    # any httpx client
    auth = BrokerAuth("https://broker:8443")
    httpx.Client(auth=auth, verify=credentials.ssl_context())

    # gRPC
    channel = grpc_channel("broker:8444", "https://broker:8443", credentials)

Every token is bound to the client certificate (RFC 8705): use one set of credentials for the token
and for the calls. A refusal by the broker is a `broker.errors.BrokerError`; an unreachable broker is
httpx's or grpc's own exception.
"""

from broker.client.auth import BrokerAuth, issue_token
from broker.client.channel import aio_grpc_channel, grpc_channel
from broker.client.credentials import Credentials
from broker.client.sdk import async_openai_client, openai_client
from broker.client.token import Token, TokenRequest

__all__ = [
    "BrokerAuth",
    "Credentials",
    "Token",
    "TokenRequest",
    "aio_grpc_channel",
    "async_openai_client",
    "grpc_channel",
    "issue_token",
    "openai_client",
]
