"""The broker's own access to one Vault: a token that is kept alive, and a few threads with a deadline.

Knows: logins, 403 for a dead token, threads. Must not know: what is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from broker.adapters.vault.cluster import Cluster
from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.login import Login
from broker.adapters.vault.token import OwnToken
from broker.adapters.vault.transport import VaultTransport
from broker.ports import Clock

DEADLINE_SECONDS = 1.95  # a caller has its answer within 2 s
_WORK_SECONDS = 1.9  # the thread gives up first, and says why
_THREADS = 4
_SELF = "the broker"  # no credential has a space in its name
_BACKOFF_SECONDS = (0.25, 0.5, 1.0, 2.0)
_T = TypeVar("_T")

Work = Callable[[HvacAdapter], _T]
"""What is done in one adapter, in a thread of its own. Raises RefusedError. It may be done twice."""


class Session:
    """Shared by all that ask this Vault for something. Belongs to one event loop; `start` it there."""

    def __init__(self, cluster: Cluster, login: Login, clock: Clock) -> None:
        self._transport = VaultTransport(cluster)
        self._token = OwnToken(self._transport, login, clock)
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vault")
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._log = structlog.get_logger()
        self._troubles: dict[str, VaultError] = {}
        self._welcome = False

    async def start(self) -> None:
        """Logs in and keeps the token alive. Never fails: while Vault is away, it tries again and again. Once
        is enough: whoever shares the session may call it.
        """
        if self._keeper is None:
            self._keeper = asyncio.ensure_future(self._keep_token())

    async def aclose(self) -> None:
        """Revokes the broker's token, where Vault still answers. Takes 4 s at most: no thread is left that
        would open another connection. Once is enough, but after all others are done.
        """
        if self._closed:
            return
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._in_thread(self._token.close)
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self._transport.close()

    async def ask(self, work: Work[_T]) -> _T | VaultError:
        """Does `work` with the broker's token. Only values come back, within 2 s: an exception would bring
        frames along that have seen keys. One that nobody foresaw is named by its type.
        """
        return await self._in_thread(lambda deadline: self._with_token(work, deadline))

    def unready(self) -> str:
        """Why the broker has not been able to log in since it started, or an empty string. Once it has, Vault
        may go away: that takes no broker out of service, because held keys go on.
        """
        refusal = self._troubles.get(_SELF)
        if self._welcome:
            return ""
        return f"key store (Vault: {refusal.message})" if refusal else "key store (Vault: logging in)"

    def troubles(self) -> Iterator[tuple[str | None, VaultError]]:
        """(subject, why) of what could not be had the last time; None for the broker's own token."""
        for subject, refusal in self._troubles.items():
            yield (None if subject == _SELF else subject), refusal

    def note(self, subject: str, refusal: VaultError | None) -> None:
        """One log line when trouble with a subject begins, changes and ends."""
        before = self._troubles.pop(subject, None)
        if refusal is not None:
            self._troubles[subject] = refusal
        if refusal is None and before is not None:
            self._log.info("vault_restored", concerning=subject)
        elif refusal is not None and refusal != before:
            log = self._log.bind(concerning=subject, cause=refusal.cause.value)
            log.warning("vault_failing", why=refusal.message, remedy=refusal.remedy)

    def forget(self, subject: str) -> None:
        """Nobody asks for the subject any more: its trouble, if any, is over without a word."""
        self._troubles.pop(subject, None)

    def _with_token(self, work: Work[_T], deadline: float) -> _T:
        """Vault answers 403 to a dead token and for a forbidden path alike: once more, with another token."""
        token = self._token.current(deadline)
        try:
            return work(HvacAdapter(self._transport, token, deadline))
        except VaultRefusedError as error:
            if error.refusal.cause is not VaultErrorCode.FORBIDDEN:
                raise
            forbidden = error.refusal
        another = self._token.replace(token, deadline)
        if another is None:
            raise VaultRefusedError(forbidden)
        return work(HvacAdapter(self._transport, another, deadline))

    async def _in_thread(self, work: Callable[[float], _T]) -> _T | VaultError:
        deadline = time.monotonic() + _WORK_SECONDS
        running = asyncio.get_running_loop().run_in_executor(self._threads, _outcome, work, deadline)
        await asyncio.wait({running}, timeout=DEADLINE_SECONDS)
        if not running.done():
            running.cancel()
            return refused(VaultErrorCode.SLOW).refusal
        unforeseen = running.exception()
        if unforeseen is not None:
            return refused(VaultErrorCode.GARBLED, f" ({type(unforeseen).__name__})").refusal
        return running.result()

    async def _keep_token(self) -> None:
        failures = 0
        while True:
            outcome = await self._in_thread(self._token.keep)
            self.note(_SELF, outcome if isinstance(outcome, VaultError) else None)
            if isinstance(outcome, VaultError):
                seconds = self._jittered(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
            else:
                seconds, failures = outcome, 0
                self._welcome = True
            await self._clock.sleep(seconds)

    def _jittered(self, seconds: float) -> float:
        """Between half of it and all of it: brokers that lost Vault together must not come back together."""
        return seconds * (0.5 + int.from_bytes(self._clock.random_bytes(2)) / 2**17)


def _outcome(work: Callable[[float], _T], deadline: float) -> _T | VaultError:
    try:
        return work(deadline)
    except VaultRefusedError as error:
        return error.refusal
