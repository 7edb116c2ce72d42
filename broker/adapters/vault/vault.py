"""The KeyVault port over Vault: a few threads ask, the event loop never waits for a socket.

Knows: which piece does what, threads and their deadline. Must not know: HTTP, how long a key is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog

from broker.adapters.vault.cluster import Cluster
from broker.adapters.vault.kept import KeptKey
from broker.adapters.vault.keys import KvKeys
from broker.adapters.vault.login import Login
from broker.adapters.vault.refusal import RETRY_SECONDS, Cause, Refusal, RefusedError, refused
from broker.adapters.vault.token import OwnToken
from broker.adapters.vault.wire import Wire
from broker.errors import BrokerError, Kind
from broker.model.secret import Lease
from broker.ports import Clock

DEADLINE_SECONDS = 1.95  # a caller has its answer within 2 s
LONGEST_HOLD_SECONDS = 300.0
_WORK_SECONDS = 1.9  # the thread gives up first, and says why
_THREADS = 4
_SWEEP_ABOVE = 64
_SELF = "the broker"  # no credential has a space in its name
_BACKOFF_SECONDS = (0.25, 0.5, 1.0, 2.0)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_T = TypeVar("_T")


class VaultKeyVault:
    """Implements ports.KeyVault over KV v2 at `<mount>/<prefix>/<credential>`, field `key`.

    A key is current when a call gets it, or was within the second before; while Vault is away it is used
    until `hold_seconds` after it was read. Belongs to one event loop; `start` it there, `aclose` it there.
    Raises ValueError for a `hold_seconds` outside 0 – 300.
    """

    def __init__(
        self,
        cluster: Cluster,
        login: Login,
        clock: Clock,
        *,
        mount: str = "secret",
        prefix: str = "openai",
        hold_seconds: float = 60.0,
    ) -> None:
        if not 0 < hold_seconds <= LONGEST_HOLD_SECONDS:
            raise ValueError(f"hold_seconds is not above 0 and at most {LONGEST_HOLD_SECONDS:g}")
        self._wire = Wire(cluster)
        self._token = OwnToken(self._wire, login, clock)
        self._keys = KvKeys(self._wire, self._token, mount.strip("/"), prefix.strip("/"))
        self._clock = clock
        self._hold = hold_seconds
        self._kept: dict[str, KeptKey] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vault")
        self._keeper: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()
        self._troubles: dict[str, Refusal] = {}
        self._welcome = False

    async def start(self) -> None:
        """Logs in and keeps the token alive. Never fails: while Vault is away, it tries again and again."""
        self._keeper = asyncio.ensure_future(self._keep_token())

    def unready(self) -> str:
        """Why the broker has not been able to log in since it started, or an empty string. Once it has, Vault
        may go away: that takes no broker out of service, because held keys go on.
        """
        refusal = self._troubles.get(_SELF)
        if self._welcome:
            return ""
        return f"key store (Vault: {refusal.message})" if refusal else "key store (Vault: logging in)"

    def trouble(self) -> str:
        """Why the broker's own token, or a key that is in use, could not be had or confirmed the last time;
        empty while all is well.
        """
        for subject, refusal in self._troubles.items():
            kept = self._kept.get(subject)
            if subject == _SELF or (kept is not None and not kept.idle):
                return refusal.message
        return ""

    async def lease(self, credential: str) -> Lease:
        """See ports.KeyVault. Answers within 2 s whatever Vault does."""
        kept = self._kept.get(credential)
        if kept is None:
            kept = self._keep(credential)
        return await kept.lease()

    def forget(self, credential: str) -> None:
        """Drops what is held of the credential; the next call asks Vault."""
        kept = self._kept.get(credential)
        if kept is not None:
            kept.forget()

    async def aclose(self) -> None:
        """Forgets all keys and revokes the broker's token, where Vault still answers. Takes 4 s at most: no
        thread is left that would open another connection.
        """
        for kept in self._kept.values():
            kept.close()
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._in_thread(self._token.close)
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self._wire.close()

    def _keep(self, credential: str) -> KeptKey:
        if not _NAME.match(credential):
            raise BrokerError(
                Kind.CREDENTIAL_STORE_UNAVAILABLE,
                "The credential's name is not 1 to 63 lower-case letters, digits and . _ -",
                remedy="Correct it in the policy.",
                retry_after=RETRY_SECONDS,
            )
        if len(self._kept) >= _SWEEP_ABOVE:
            self._kept = {name: kept for name, kept in self._kept.items() if not kept.idle}
            self._troubles = {
                name: why for name, why in self._troubles.items() if name in {_SELF, *self._kept}
            }
        kept = KeptKey(partial(self._look, credential), self._clock, self._hold)
        self._kept[credential] = kept
        return kept

    async def _look(self, credential: str, known: Lease | None) -> Lease | Refusal:
        found = await self._in_thread(partial(self._keys.look, credential, known))
        self._note(credential, found if isinstance(found, Refusal) else None)
        return found

    async def _in_thread(self, work: Callable[[float], _T]) -> _T | Refusal:
        """Runs `work` with its deadline. Only values come back: an exception would bring frames along
        that have seen keys. One that nobody foresaw is named by its type.
        """
        deadline = time.monotonic() + _WORK_SECONDS
        running = asyncio.get_running_loop().run_in_executor(self._threads, _outcome, work, deadline)
        await asyncio.wait({running}, timeout=DEADLINE_SECONDS)
        if not running.done():
            running.cancel()
            return refused(Cause.SLOW).refusal
        unforeseen = running.exception()
        if unforeseen is not None:
            return refused(Cause.GARBLED, f" ({type(unforeseen).__name__})").refusal
        return running.result()

    async def _keep_token(self) -> None:
        failures = 0
        while True:
            outcome = await self._in_thread(self._token.keep)
            self._note(_SELF, outcome if isinstance(outcome, Refusal) else None)
            if isinstance(outcome, Refusal):
                seconds = self._jittered(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
            else:
                seconds, failures = outcome, 0
                self._welcome = True
            await self._clock.sleep(seconds)

    def _jittered(self, seconds: float) -> float:
        """Between half of it and all of it: brokers that lost Vault together must not come back together."""
        return seconds * (0.5 + int.from_bytes(self._clock.random_bytes(2)) / 2**17)

    def _note(self, subject: str, refusal: Refusal | None) -> None:
        """One log line when trouble with the own token or a credential begins, changes and ends."""
        before = self._troubles.pop(subject, None)
        if refusal is not None:
            self._troubles[subject] = refusal
        if refusal is None and before is not None:
            self._log.info("vault well again", concerning=subject)
        elif refusal is not None and refusal != before:
            log = self._log.bind(concerning=subject, cause=refusal.cause.value)
            log.warning("vault trouble", why=refusal.message, remedy=refusal.remedy)


def _outcome(work: Callable[[float], _T], deadline: float) -> _T | Refusal:
    try:
        return work(deadline)
    except RefusedError as error:
        return error.refusal
