"""Step 9: one shaped request with the leased key → upstream's answer.

Knows: back-off, OpenAI's stream endings, regions. Must not know: policy, records, sockets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from broker.adapters.openai.backoff import TOO_MANY_REQUESTS, RetryPolicy, pause, too_long
from broker.adapters.openai.connection import BrokenError
from broker.adapters.openai.origin import Origin, encode
from broker.adapters.openai.pool import Answer, UnreachableError
from broker.errors import BrokerError, Kind
from broker.model.call import Events, Reply, StreamReply, UpstreamRequest
from broker.model.secret import Lease, Secret
from broker.ports import Clock
from broker.shaping.incomplete import incomplete
from broker.shaping.sse import EventSplitter, EventTooLargeError, is_terminal

MAX_REPLY_BYTES = 64 * 1024 * 1024
_PASSED = frozenset({"content-type", "x-request-id", "retry-after", "cache-control", "x-should-retry"})
_PASSED_PREFIXES = ("x-ratelimit-", "openai-")


class OpenAIUpstream:
    """Implements `ports.Upstream`. Redirects are never followed.

    A lease of a region goes to that region's origin, where `regions` names it: OpenAI keeps what is pinned to
    Europe in Europe only for calls to eu.api.openai.com. All others go to `origin`.
    """

    def __init__(
        self, origin: Origin, regions: Mapping[str, Origin], clock: Clock, retries: RetryPolicy
    ) -> None:
        self._origin = origin
        self._regions = regions
        self._clock = clock
        self._retries = retries

    async def send(self, request: UpstreamRequest, lease: Lease) -> Reply | StreamReply:
        """See `ports.Upstream.send`. Attempts, pauses and the last answer follow the retry policy."""
        attempt = 0
        while True:
            attempt += 1
            answer = await self._attempt(request, lease, last=attempt >= self._retries.attempts)
            if answer is None:
                await self._clock.sleep(pause(self._retries, attempt, None, self._clock))
                continue
            delay = self._delay(answer, attempt, lease)
            if delay is None:
                return await _taken(answer, lease.secret)
            answer.close()
            await self._clock.sleep(delay)

    async def aclose(self) -> None:
        for origin in (self._origin, *self._regions.values()):
            await origin.pool.aclose()

    async def _attempt(self, request: UpstreamRequest, lease: Lease, *, last: bool) -> Answer | None:
        origin = self._origin if lease.region is None else self._regions.get(lease.region, self._origin)
        try:
            return await origin.pool.send(encode(request, lease, origin))
        except UnreachableError:
            if last:
                raise _unavailable("The upstream cannot be reached.", unsent=True) from None
            return None
        except BrokenError:
            # Upstream may be working on it: sending it again could spend twice.
            raise _unavailable("The upstream gave no answer.") from None

    def _delay(self, answer: Answer, attempt: int, lease: Lease) -> float | None:
        """Seconds until the next attempt, or None when this answer stands. Another key need not wait."""
        if answer.status == TOO_MANY_REQUESTS and not lease.alone:
            return None
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


def _unavailable(message: str, *, unsent: bool = False) -> BrokerError:
    return BrokerError(
        Kind.UPSTREAM_UNAVAILABLE,
        message,
        remedy="Try again; the broker recorded the attempt.",
        retry_after=1,
        unsent=unsent,
    )


def _interrupted(sent: int) -> BrokerError:
    return incomplete("The upstream broke the stream before its end.", sent)
