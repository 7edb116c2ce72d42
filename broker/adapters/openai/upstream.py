"""Step 9: one shaped request with the leased key → upstream's answer.

Knows: httpx's transport seam, back-off, OpenAI's stream endings. Must not know: policy, records.
httpx's client costs 700–1,300 µs of CPU a call and its bare aiohttp transport 140 µs: hence the transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from broker.adapters.openai.backoff import RetryPolicy, pause, too_long
from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.secret import Secret
from broker.ports import Clock
from broker.shaping.sse import EventSplitter, EventTooLargeError, is_terminal

_URLS_KEPT = 256
MAX_REPLY_BYTES = 64 * 1024 * 1024
_PASSED = frozenset({"content-type", "x-request-id", "retry-after", "cache-control", "x-should-retry"})
_PASSED_PREFIXES = ("x-ratelimit-", "openai-")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: to connect, to wait for the next bytes, and to wait for a pooled connection."""

    connect: float = 5.0
    read: float = 600.0
    pool: float = 5.0


class OpenAIUpstream:
    """Implements `ports.Upstream` over any `httpx.AsyncBaseTransport`. Redirects are never followed."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        base_url: str,
        clock: Clock,
        retries: RetryPolicy,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self._transport = transport
        self._base = base_url.rstrip("/").removesuffix("/v1")
        self._host = urlsplit(base_url).netloc
        self._urls: dict[str, httpx.URL] = {}
        self._clock = clock
        self._retries = retries
        self._timeout = {
            "connect": deadlines.connect,
            "read": deadlines.read,
            "write": deadlines.read,
            "pool": deadlines.pool,
        }

    async def send(self, request: UpstreamRequest, key: Secret) -> Reply | StreamReply:
        """See `ports.Upstream.send`. Attempts, pauses and the last answer follow the retry policy."""
        attempt = 0
        while True:
            attempt += 1
            response = await self._attempt(request, key, last=attempt >= self._retries.attempts)
            if response is None:
                await self._clock.sleep(pause(self._retries, attempt, None, self._clock))
                continue
            delay = self._delay(response, attempt)
            if delay is None:
                return await self._answer(response)
            await response.aclose()
            await self._clock.sleep(delay)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _attempt(self, request: UpstreamRequest, key: Secret, *, last: bool) -> httpx.Response | None:
        try:
            return await self._transport.handle_async_request(self._http(request, key))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            if last:
                raise _unavailable("The upstream cannot be reached.") from None
            return None
        except (httpx.TransportError, OSError):
            # Upstream may be working on it: sending it again could spend twice.
            raise _unavailable("The upstream gave no answer.") from None

    def _http(self, request: UpstreamRequest, key: Secret) -> httpx.Request:
        headers = [
            *request.headers,
            ("host", self._host),
            ("authorization", f"Bearer {key.reveal()}"),
            ("accept-encoding", "identity"),
        ]
        if request.body:
            headers.append(("content-length", str(len(request.body))))
        return httpx.Request(
            request.method,
            self._url(request.path),
            headers=headers,
            content=request.body,
            extensions={"timeout": self._timeout},
        )

    def _url(self, path: str) -> httpx.URL:
        """The parsed URL of a path; most calls share a few, and parsing one costs 25 µs."""
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= _URLS_KEPT:
                self._urls.clear()
            url = self._urls[path] = httpx.URL(self._base + path)
        return url

    def _delay(self, response: httpx.Response, attempt: int) -> float | None:
        """Seconds until the next attempt, or None when this answer stands."""
        if attempt >= self._retries.attempts or not self._retries.covers(response.status_code):
            return None
        if response.headers.get("x-should-retry") == "false":
            return None
        retry_after = response.headers.get("retry-after")
        if too_long(self._retries, retry_after, self._clock):
            return None
        return pause(self._retries, attempt, retry_after, self._clock)

    async def _answer(self, response: httpx.Response) -> Reply | StreamReply:
        status = response.status_code
        if 300 <= status < 400 or response.headers.get("content-encoding", "identity") != "identity":  # noqa: PLR2004
            await response.aclose()
            raise _unavailable("The upstream answered with a redirect or an encoding nobody asked for.")
        headers = _passed(response.headers)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return StreamReply(status, headers, _events(response))
        return Reply(status, headers, await _whole(response))


def _passed(headers: httpx.Headers) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, value in headers.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    )


async def _whole(response: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.stream:  # type: ignore[union-attr]
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_REPLY_BYTES:
                raise _unavailable("The upstream's reply is larger than 64 MiB.")
    except (httpx.TransportError, OSError):
        raise _unavailable("The upstream broke off its reply.") from None
    finally:
        await response.aclose()
    return b"".join(chunks)


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """Whole events as they come; UPSTREAM_INTERRUPTED unless the last one was terminal."""
    splitter = EventSplitter()
    ended = False
    sent = 0
    try:
        async with aclosing(response.stream.__aiter__()) as chunks:  # type: ignore[union-attr, type-var]
            async for chunk in chunks:
                for event in splitter.feed(chunk):
                    ended = ended or is_terminal(event)
                    sent += len(event)
                    yield event
    except (httpx.TransportError, OSError, EventTooLargeError):
        raise _interrupted(sent) from None
    finally:
        await response.aclose()
    if not ended:
        raise _interrupted(sent)


def _unavailable(message: str) -> BrokerError:
    return BrokerError(
        Kind.UPSTREAM_UNAVAILABLE,
        message,
        remedy="Try again; the broker recorded the attempt.",
        retry_after=1,
    )


def _interrupted(sent: int) -> BrokerError:
    return BrokerError(
        Kind.UPSTREAM_INTERRUPTED,
        "The upstream broke the stream before its end.",
        remedy="Send the same request again: what you received is incomplete.",
        details={"bytes_delivered": str(sent), "retry_safe": "true" if sent == 0 else "false"},
    )
