"""Step 9: one shaped request with the leased key → upstream's answer.

Knows: the request's head, back-off, OpenAI's stream endings. Must not know: policy, records, sockets.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from urllib.parse import quote, urlsplit

from broker.adapters.openai.backoff import RetryPolicy, pause, too_long
from broker.adapters.openai.connection import BrokenError, Message
from broker.adapters.openai.pool import Answer, Pool, UnreachableError
from broker.errors import BrokerError, Kind
from broker.model.call import Events, Reply, StreamReply, UpstreamRequest
from broker.model.secret import Secret
from broker.ports import Clock
from broker.shaping.sse import EventSplitter, EventTooLargeError, is_terminal

MAX_REPLY_BYTES = 64 * 1024 * 1024
_PASSED = frozenset({"content-type", "x-request-id", "retry-after", "cache-control", "x-should-retry"})
_PASSED_PREFIXES = ("x-ratelimit-", "openai-")
_PLAIN_PATH = re.compile(r"[!-~]+\Z")
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class OpenAIUpstream:
    """Implements `ports.Upstream` over a Pool. Redirects are never followed."""

    def __init__(self, pool: Pool, base_url: str, clock: Clock, retries: RetryPolicy) -> None:
        self._pool = pool
        origin = urlsplit(base_url.rstrip("/").removesuffix("/v1"))
        self._host, self._prefix = origin.netloc, origin.path
        self._clock = clock
        self._retries = retries

    async def send(self, request: UpstreamRequest, key: Secret) -> Reply | StreamReply:
        """See `ports.Upstream.send`. Attempts, pauses and the last answer follow the retry policy."""
        attempt = 0
        while True:
            attempt += 1
            answer = await self._attempt(request, key, last=attempt >= self._retries.attempts)
            if answer is None:
                await self._clock.sleep(pause(self._retries, attempt, None, self._clock))
                continue
            delay = self._delay(answer, attempt)
            if delay is None:
                return await _taken(answer, key)
            answer.close()
            await self._clock.sleep(delay)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _attempt(self, request: UpstreamRequest, key: Secret, *, last: bool) -> Answer | None:
        try:
            return await self._pool.send(self._encode(request, key))
        except UnreachableError:
            if last:
                raise _unavailable("The upstream cannot be reached.") from None
            return None
        except BrokenError:
            # Upstream may be working on it: sending it again could spend twice.
            raise _unavailable("The upstream gave no answer.") from None

    def _encode(self, request: UpstreamRequest, key: Secret) -> Message:
        """The request as bytes (RFC 9112, 3). Raises BAD_REQUEST for a header that no line can hold."""
        path = request.path if _PLAIN_PATH.match(request.path) else quote(request.path, safe=_PATH_SAFE)
        fields = [("host", self._host), *request.headers, ("accept-encoding", "identity")]
        if request.body or request.method == "POST":
            fields.append(("content-length", str(len(request.body))))
        lines = [f"{name}: {value}" for name, value in fields]
        if any(map(_UNPRINTABLE.search, lines)):
            raise BrokerError(Kind.BAD_REQUEST, "A header holds a control character.", param="headers")
        head = "\r\n".join(
            (f"{request.method} {self._prefix}{path} HTTP/1.1", *lines, "authorization: Bearer ")
        )
        return Message(
            b"".join((head.encode("latin-1"), key.reveal().encode("latin-1"), b"\r\n\r\n", request.body))
        )

    def _delay(self, answer: Answer, attempt: int) -> float | None:
        """Seconds until the next attempt, or None when this answer stands."""
        if attempt >= self._retries.attempts or not self._retries.covers(answer.status):
            return None
        if answer.header("x-should-retry") == "false":
            return None
        retry_after = answer.header("retry-after")
        if too_long(self._retries, retry_after, self._clock):
            return None
        return pause(self._retries, attempt, retry_after, self._clock)


async def _taken(answer: Answer, key: Secret) -> Reply | StreamReply:
    """The answer, unless it is of no use to the caller or gives the key away. No error's frame shows that."""
    if 300 <= answer.status < 400 or answer.header("content-encoding") not in {None, "identity"}:  # noqa: PLR2004
        answer.close()
        raise _unavailable("The upstream answered with a redirect or an encoding nobody asked for.")
    headers = _passed(answer, key)
    if (answer.header("content-type") or "").startswith("text/event-stream"):
        return StreamReply(answer.status, headers, Events(_events(answer, key), _closing(answer)))
    body = await _whole(answer)
    if key.reveal().encode() in body:
        del body
        raise _unavailable("The upstream's reply held the key it was called with.")
    return Reply(answer.status, headers, body)


def _passed(answer: Answer, key: Secret) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, value in answer.headers
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and key.reveal() not in value
    )


async def _whole(answer: Answer) -> bytes:
    """The body. An error's frame holds nothing of it: it could give the key away."""
    chunks: list[bytes] = []
    size = 0
    try:
        while not chunks or chunks[-1]:
            chunks.append(await answer.read())
            size += len(chunks[-1])
            if size > MAX_REPLY_BYTES:
                chunks.clear()
                raise _unavailable("The upstream's reply is larger than 64 MiB.")
    except BrokenError:
        chunks.clear()
        raise _unavailable("The upstream broke off its reply.") from None
    finally:
        answer.close()
    return b"".join(chunks)


def _closing(answer: Answer) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        answer.close()

    return close


async def _events(answer: Answer, key: Secret) -> AsyncGenerator[bytes, None]:
    """Whole events as they come; UPSTREAM_INTERRUPTED unless the last one was terminal, or where one gives
    the key away.
    """
    splitter = EventSplitter()
    ended = False
    sent = 0
    try:
        while chunk := await answer.read():
            for event in splitter.feed(chunk):
                if key.reveal().encode() in event:
                    del event, chunk
                    raise _interrupted(sent)
                ended = ended or is_terminal(event)
                sent += len(event)
                yield event
    except (BrokenError, EventTooLargeError):
        raise _interrupted(sent) from None
    finally:
        answer.close()
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
