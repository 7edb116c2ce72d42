"""The OpenAI SDK, ready to call through the broker. `openai` is an extra, imported when asked for.

Knows: the SDK's constructors. Must not know: anything of its calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from broker.client.auth import BrokerAuth
from broker.client.credentials import Credentials
from broker.client.token import WHATEVER_IS_GRANTED, TokenRequest
from broker.client.transport import AsyncRenewingTransport, RenewingTransport

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

_UNUSED = "unused"
"""The SDK insists on a key; BrokerAuth replaces the header it makes of it."""
_TIMEOUT = httpx.Timeout(600, connect=5)
"""As the SDK's own default; the SDK sets it per request, too."""


def openai_client(
    broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED, **options: Any
) -> OpenAI:
    """`openai.OpenAI` whose calls go through the broker; `options` are those of its constructor.

    Raises ImportError where the extra `openai` is not installed.
    """
    from openai import OpenAI  # noqa: PLC0415 - an optional dependency

    http: Any = httpx.Client(
        auth=BrokerAuth(broker_url, wish),
        transport=RenewingTransport(credentials),
        timeout=_TIMEOUT,
        trust_env=False,
    )
    return OpenAI(base_url=_base(broker_url), api_key=_UNUSED, http_client=http, **options)


def async_openai_client(
    broker_url: str, credentials: Credentials, wish: TokenRequest = WHATEVER_IS_GRANTED, **options: Any
) -> AsyncOpenAI:
    """`openai.AsyncOpenAI`, otherwise the same."""
    from openai import AsyncOpenAI  # noqa: PLC0415 - an optional dependency

    http: Any = httpx.AsyncClient(
        auth=BrokerAuth(broker_url, wish),
        transport=AsyncRenewingTransport(credentials),
        timeout=_TIMEOUT,
        trust_env=False,
    )
    return AsyncOpenAI(base_url=_base(broker_url), api_key=_UNUSED, http_client=http, **options)


def _base(broker_url: str) -> str:
    return broker_url.rstrip("/") + "/v1"
