"""The watch over policies: what changed is tried and adopted within a second, or refused, loudly and once.

Knows: when to look. Must not know: what adopting means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from broker.adapters.rego.origin import Contents, PolicyOrigin, Signature
from broker.adapters.rego.proof import SlicingProof
from broker.errors import BrokerError
from broker.ports import Clock

POLL_SECONDS = 0.25

Adopt = Callable[[Contents, SlicingProof], Awaitable[None]]
"""Takes policies that were tried, and what was proven of them. Raises BrokerError where they may not rule
after all.
"""


class PolicyWatch:
    """Looks at `origin` four times a second, from `start` to `aclose`. Use it from one event loop.

    A change is tried in a process of its own first. What is refused is told in the log and by `problem` until
    it is mended; the same contents are not tried twice.
    """

    def __init__(self, origin: PolicyOrigin, clock: Clock, seen: Signature) -> None:
        """`seen` is the signature of what rules already."""
        self._origin = origin
        self._clock = clock
        self._seen = seen
        self._problem = ""
        self._looking = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    def problem(self) -> str:
        """Why the newest policies do not rule, or an empty string."""
        return self._problem

    def start(self, adopt: Adopt) -> None:
        """Follows the origin from now on."""
        self._watching = asyncio.create_task(self._watch(adopt))

    async def aclose(self) -> None:
        """Stops following."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self, adopt: Adopt) -> None:
        while True:
            await self._clock.sleep(POLL_SECONDS)
            await self.poll(adopt)

    async def poll(self, adopt: Adopt) -> None:
        """Looks once; returns when a change, if there is one, is adopted or refused."""
        async with self._looking:
            signature = await asyncio.to_thread(self._origin.signature)
            if signature != self._seen:
                self._seen = signature  # also where it is refused: the same contents are not tried again
                await self._take(adopt)

    async def _take(self, adopt: Adopt) -> None:
        try:
            with self._origin.contents() as contents:
                await adopt(contents, await contents.try_them())
            self._problem = ""
        except BrokerError as error:
            self._problem = error.message
            self._log.error("policy_refused", why=error.message, remedy=error.remedy)
