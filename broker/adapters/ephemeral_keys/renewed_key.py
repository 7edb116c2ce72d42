"""One credential's key: issued when first needed, replaced at two thirds of its life, never used after it.

Knows: when to ask the issuer, and what calls get meanwhile. Must not know: who that is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from broker.adapters.ephemeral_keys.observer import IssuerObserver
from broker.adapters.ephemeral_keys.sleep import WakeableSleep
from broker.adapters.ephemeral_keys.source_error import ErrorCode, SourceError, refused
from broker.model.secret import Lease, Secret
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

PATIENCE_SECONDS = 1.95  # a call without a key has its answer within 2 s
RENEW_AT = 2 / 3
_SPARE_PART, _SPARE_SECONDS = 0.1, 30.0  # so much before its end no call begins with it
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_LONGEST_WITHOUT_KEY = 4.0
_STUBBORN = frozenset(
    (ErrorCode.FORBIDDEN, ErrorCode.REJECTED)
)  # somebody must mend that; asking more often does not


@dataclass(frozen=True, slots=True)
class Issued:
    """A key as its issuer gave it, good for `seconds` from when it was asked for; `account` is whose it is
    there.
    """

    secret: Secret = field(repr=False)
    seconds: float
    account: str


Issue = Callable[[], Awaitable[Issued | SourceError]]
"""Asks the issuer for a key. Never raises."""


class RetireReason(StrEnum):
    """How a key goes out of use: calls that have it may go on where it was REPLACED, not where DROPPED."""

    REPLACED = "replaced"
    DROPPED = "dropped"


Retire = Callable[[Issued, RetireReason], None]
"""Takes a key that no call gets any more. Returns at once, never raises."""


@dataclass(frozen=True, slots=True)
class CurrentKey:
    """The key in use. Calls may begin with it until `use_until` (monotonic ns)."""

    lease: Lease
    use_until: int
    issued: Issued


class RenewedKey:
    """Keeps one key current from the first `wait` (or `start`) to `aclose`, with one question at a time.
    Belongs to one event loop.

    While the issuer is away, calls get the held key until its end, then CREDENTIAL_STORE_UNAVAILABLE at once.
    """

    def __init__(
        self,
        credential: str,
        key_ref: str,
        issue: Issue,
        retire: Retire,
        clock: Clock,
        observer: IssuerObserver,
    ) -> None:
        self.held: CurrentKey | None = None
        self._credential = credential
        self._key_ref = key_ref
        self._issue = issue
        self._retire = retire
        self._clock = clock
        self._observer = observer
        self._log = structlog.get_logger().bind(credential=credential)
        self._version = 0
        self._dropped = 0
        self._refusal: SourceError | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._sleep = WakeableSleep(clock)
        self._answered: asyncio.Future[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there has been a key."""
        return self._version > 0

    @property
    def trouble(self) -> str:
        """Why the last question brought no key, or an empty string."""
        return f"{self._credential}: {self._refusal.message}" if self._refusal is not None else ""

    def current(self) -> Lease | None:
        """The key that a call may begin with now."""
        held = self.held
        return held.lease if held is not None and self._clock.monotonic_ns() < held.use_until else None

    def start(self) -> None:
        """Begins to keep a key; returns at once. Idempotent."""
        if self._keeper is None:
            self._keeper = asyncio.ensure_future(self._keep())

    async def wait(self, patience: float = PATIENCE_SECONDS) -> Lease:
        """The current key, or the next one. Raises BrokerError when none comes within `patience` seconds, and
        at once while the issuer gives none.
        """
        self.start()
        lease = self.current()
        if lease is None and self._refusal is None:
            if self._answered is None:
                self._answered = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._answered}, timeout=patience)
            lease = self.current()
        if lease is None:
            raise (self._refusal or refused(ErrorCode.SLOW, "The issuer of the key")).error()
        return lease

    def drop(self) -> None:
        """Takes the key out of use now, also one that is on its way; the next one is asked for at once."""
        self._dropped += 1
        self._refusal = None
        held, self.held = self.held, None
        if held is not None:
            self._retire(held.issued, RetireReason.DROPPED)
        self._sleep.end()

    async def aclose(self) -> None:
        """Gives up the key, and the question that is under way."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._refusal = refused(ErrorCode.REVOKED)
        self._tell_waiting()
        held, self.held = self.held, None
        if held is not None:
            self._retire(held.issued, RetireReason.DROPPED)

    async def _keep(self) -> None:
        failures = 0
        while True:
            dropped, began = self._dropped, self._clock.monotonic_ns()
            outcome = await self._issue()
            if isinstance(outcome, Issued) and dropped != self._dropped:
                self._retire(outcome, RetireReason.DROPPED)  # it was dropped before it came
                continue
            if isinstance(outcome, Issued):
                failures = 0
                self._take(outcome, began)
                seconds = outcome.seconds * RENEW_AT - (self._clock.monotonic_ns() - began) / NS_PER_SECOND
            else:
                seconds = self._backoff(outcome, failures)
                failures += 1
                self._note(outcome)
            self._tell_waiting()
            await self._sleep.sleep(seconds)

    def _take(self, issued: Issued, began: int) -> None:
        spare = min(issued.seconds * _SPARE_PART, _SPARE_SECONDS)
        now = self._clock.now_ns()
        self._version = max(self._version + 1, now // NS_PER_SECOND)
        lease = Lease(self._key_ref, self._version, issued.secret)
        before, self.held = (
            self.held,
            CurrentKey(lease, began + int((issued.seconds - spare) * NS_PER_SECOND), issued),
        )
        if before is not None:
            self._retire(before.issued, RetireReason.REPLACED)
        self._observer.issued(self._credential, now / NS_PER_SECOND + issued.seconds)
        self._log.info(
            "key_issued", key_version=self._version, account=issued.account, seconds=issued.seconds
        )
        self._note(None)

    def _backoff(self, refusal: SourceError, failures: int) -> float:
        """Seconds until the issuer is asked again: sooner where calls need it. Jittered: brokers that lost it
        together must not come back together.
        """
        if refusal.retry_after is not None:
            return refusal.retry_after
        seconds = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
        if refusal.cause not in _STUBBORN:
            left = (
                0.0
                if self.held is None
                else (self.held.use_until - self._clock.monotonic_ns()) / NS_PER_SECOND
            )
            seconds = min(seconds, max(left, _LONGEST_WITHOUT_KEY))
        return seconds * (0.5 + int.from_bytes(self._clock.random_bytes(2)) / 2**17)

    def _note(self, refusal: SourceError | None) -> None:
        """One log line when trouble begins, changes and ends."""
        before, self._refusal = self._refusal, refusal
        if refusal is not None:
            self._observer.not_issued(self._credential, refusal.cause.value)
            if refusal != before:
                self._log.warning(
                    "key_not_issued", cause=refusal.cause.value, why=refusal.message, remedy=refusal.remedy
                )
        elif before is not None:
            self._log.info("key_issuing_restored")

    def _tell_waiting(self) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered.set_result(None)


def unready(what: str, keys: Collection[RenewedKey]) -> str:
    """Why none of the keys has ever been there, or an empty string."""
    if any(key.has_begun for key in keys):
        return ""
    return f"{what} ({trouble(keys) or 'asking for the first'})"


def trouble(keys: Collection[RenewedKey]) -> str:
    """What keeps some of the keys from the next one, or an empty string."""
    return "; ".join(key.trouble for key in keys if key.trouble)
