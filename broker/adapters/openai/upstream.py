"""Step 9: one shaped request with the leased key → upstream's answer.

Knows: back-off, regions, when a request may be sent again. Must not know: policy, records, sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from broker.adapters.openai.backoff import TOO_MANY_REQUESTS, RetryPolicy, pause
from broker.adapters.openai.connection import BrokenError
from broker.adapters.openai.origin import UpstreamOrigin, encode
from broker.adapters.openai.pool import UnreachableError, UpstreamResponse
from broker.adapters.openai.reading import reply, taken, whole
from broker.adapters.openai.refusals import unavailable
from broker.errors import BrokerError
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.secret import Lease
from broker.model.sends import Sends
from broker.ports import Clock
from broker.shaping.key_refusal import MOST_BYTES, spent_money
from broker.shaping.retry_after import wait_of

_ERROR_SECONDS = 2.0


class OpenAIUpstream:
    """Implements `ports.Upstream`. Redirects are never followed.

    A lease of a region goes to that region's origin, where `regions` names it: OpenAI keeps what is pinned to
    Europe in Europe only for calls to eu.api.openai.com. All others go to `origin`.
    """

    def __init__(
        self,
        origin: UpstreamOrigin,
        regions: Mapping[str, UpstreamOrigin],
        clock: Clock,
        retries: RetryPolicy,
    ) -> None:
        self._origin = origin
        self._regions = regions
        self._clock = clock
        self._retries = retries

    async def send(self, request: UpstreamRequest, lease: Lease, sends: Sends) -> Reply | StreamReply:
        """See `ports.Upstream.send`. Attempts, pauses and the last answer follow the retry policy."""
        for attempt in range(1, self._retries.attempts):
            wait: float | None
            try:
                answer = await self._attempt(request, lease, sends)
            except UnreachableError:  # nothing was sent
                wait = pause(self._retries, attempt, None, self._clock) or 0.0
            else:
                wait = self._wait(answer, attempt, lease)
                if wait is None:
                    return await taken(answer, lease.secret)
                if answer.status == TOO_MANY_REQUESTS and (body := await _saying_spent(answer)) is not None:
                    return reply(answer, body, lease.secret)
                answer.close()
            await self._clock.sleep(wait)
        try:
            return await taken(await self._attempt(request, lease, sends), lease.secret)
        except UnreachableError:
            raise unavailable("The upstream cannot be reached.", unsent=not sends.unanswered) from None

    async def aclose(self) -> None:
        for origin in (self._origin, *self._regions.values()):
            await origin.pool.aclose()

    async def _attempt(self, request: UpstreamRequest, lease: Lease, sends: Sends) -> UpstreamResponse:
        """Sends it once. Raises UnreachableError where nothing was sent, UPSTREAM_UNAVAILABLE where upstream
        may be working on it: sending it again could spend twice.
        """
        origin = self._origin if lease.region is None else self._regions.get(lease.region, self._origin)
        try:
            return await origin.pool.send(encode(request, lease, origin, sends))
        except BrokenError as broken:
            fault = broken.fault
        raise unavailable(f"The upstream {fault.value}.", unsent=not sends.unanswered)

    def _wait(self, answer: UpstreamResponse, attempt: int, lease: Lease) -> float | None:
        """Seconds until the next attempt, or None when this answer stands. Another key need not wait."""
        if answer.status == TOO_MANY_REQUESTS and not lease.is_only_key:
            return None
        if not self._retries.covers(answer.status) or answer.header("x-should-retry") == "false":
            return None
        asked = wait_of(answer.headers, self._clock.now_ns())
        return pause(self._retries, attempt, asked, self._clock)


async def _saying_spent(answer: UpstreamResponse) -> bytes | None:
    """The body of a 429, where it says that money is used up and no waiting helps; None where it does not,
    or is no error of a sensible size within a moment.
    """
    try:
        async with asyncio.timeout(_ERROR_SECONDS):
            body = await whole(answer, MOST_BYTES)
    except (BrokerError, TimeoutError):
        return None
    return None if spent_money(body) is None else body
