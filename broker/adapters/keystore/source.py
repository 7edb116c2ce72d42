"""The CredentialSource port over the sealed keystore: opened once, held briefly, shared by concurrent calls.

Knows: how long an opened key may be held. Must not know: files or ciphers; what a key opens.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from broker.adapters.keystore.faults import unusable
from broker.adapters.keystore.store import SealedStore
from broker.errors import BrokerError
from broker.model.secret import Lease
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

_CHECK_SECONDS = 0.5  # a rotated key is used by calls that begin this much later
_DEADLINE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _HeldKeys:
    """An opened key: good without a look at the disk until `check_at`, and never after `drop_at`."""

    lease: Lease = field(repr=False)
    fingerprint: tuple[int, int, int]
    check_at: int
    drop_at: int


class SealedKeySource:
    """Implements ports.CredentialSource. Belongs to one event loop; `aclose` ends its thread and forgets all
    keys.
    """

    def __init__(self, store: SealedStore, clock: Clock, hold_seconds: float = 60.0) -> None:
        self._store = store
        self._clock = clock
        self._hold = hold_seconds
        self._held: dict[str, _HeldKeys] = {}
        self._newest: dict[str, int] = {}
        self._opening: dict[str, asyncio.Task[Lease]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keystore")
        self._troubles: dict[str, str] = {}
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Nothing: a key is opened when a call wants it."""

    async def lease(self, credential: str) -> Lease:
        """See ports.CredentialSource. The newest version; a replaced file is noticed within half a second."""
        held = self._held.get(credential)
        if held is not None and self._clock.monotonic_ns() < held.check_at:
            return held.lease
        opening = self._opening.get(credential)
        if opening is None:
            opening = asyncio.ensure_future(self._refresh(credential))
            self._opening[credential] = opening
            opening.add_done_callback(lambda done: self._opened(credential, done))
        return await asyncio.shield(opening)

    def unready(self) -> str:
        """An empty string: the store is this machine's, and each call tells by itself."""
        return ""

    def trouble(self) -> str:
        """Why the last call for some credential got no key, or an empty string."""
        return next(iter(self._troubles.values()), "")

    async def aclose(self) -> None:
        self._held.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _refresh(self, credential: str) -> Lease:
        """Reads what is on disk, in the thread, unless what is held is still that. One at a time per key."""
        known = self._held.get(credential)
        now = self._clock.monotonic_ns()
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._read, credential, known, now)
        try:
            held = await asyncio.wait_for(work, _DEADLINE_SECONDS)
        except TimeoutError:
            raise unusable(
                f"The keystore did not answer within {_DEADLINE_SECONDS:g} s.", "Check the disk it is on."
            ) from None
        self._held[credential] = held
        self._newest[credential] = held.lease.key_version
        if known is None or held.drop_at != known.drop_at:
            asyncio.get_running_loop().call_later(self._hold, self._forget, credential, held.drop_at)
        return held.lease

    def _read(self, credential: str, known: _HeldKeys | None, now: int) -> _HeldKeys:
        """Runs in the thread."""
        check_at = now + int(min(_CHECK_SECONDS, self._hold) * NS_PER_SECOND)
        fingerprint = self._store.fingerprint(credential)
        if known is not None and known.fingerprint == fingerprint and now < known.drop_at:
            return _HeldKeys(known.lease, fingerprint, min(check_at, known.drop_at), known.drop_at)
        opened = self._store.newest(credential)
        if opened.about.version < self._newest.get(credential, 0):
            raise unusable(
                f"The credential {credential!r} went back to an earlier version.",
                "Find out who replaced its file, then import the key again.",
            )
        lease = Lease(f"sealed:{credential}", opened.about.version, opened.secret)
        return _HeldKeys(lease, fingerprint, check_at, now + int(self._hold * NS_PER_SECOND))

    def _opened(self, credential: str, done: asyncio.Task[Lease]) -> None:
        """The refresh is over. One that failed forgets the key: what cannot be confirmed is not served."""
        del self._opening[credential]
        fault = None if done.cancelled() else done.exception()
        if done.cancelled() or fault is not None:
            self._held.pop(credential, None)
        self._note(credential, fault)

    def _note(self, credential: str, fault: BaseException | None) -> None:
        """One log line when trouble with a credential begins, changes and ends."""
        before = self._troubles.pop(credential, "")
        now = str(fault) if isinstance(fault, BrokerError) else ""
        if now:
            self._troubles[credential] = now
        if now != before:
            log = self._log.bind(concerning=credential)
            log.warning("keystore_failing", why=now) if now else log.info("keystore_restored")

    def _forget(self, credential: str, drop_at: int) -> None:
        held = self._held.get(credential)
        if held is not None and held.drop_at == drop_at:
            del self._held[credential]
