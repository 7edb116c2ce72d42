"""The seams to the outside. Each docstring is the contract its adapters are tested against."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.model.charge import Charge, LimitUse, Reservation, Taken, Window
from broker.model.credential import KeyVersion
from broker.model.decision import CallDecision, PolicyVersion
from broker.model.pool import Placement, SpentMoney
from broker.model.record import Receipt, Record
from broker.model.secret import Lease
from broker.model.sends import Sends
from broker.model.stored import Context, Keeping


class DecisionPoint(StrEnum):
    """The fixed query paths; nothing a caller sends is ever part of one."""

    TOKENS = "tokens"
    CALLS = "calls"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What the engine answered, unjudged: `result` may be anything, also None (undefined). Nobody changes it:
    an adapter may give the same Verdict for equal questions, and one is equal to itself alone.
    """

    result: object
    policy: PolicyVersion


@dataclass(frozen=True, slots=True)
class Observation:
    """A decision that was enforced, and the input it was made on. `user` and `model` are as records may
    show them. Nobody changes `document` any more.
    """

    call_id: str
    user: str
    subject: str
    tenant: str
    operation: str
    model: str | None
    document: Mapping[str, object] = field(repr=False)
    enforced: CallDecision = field(repr=False)


class Authorizer(Protocol):
    """Evaluates `data.broker.<point>.decision`.

    Safe for concurrent use; never retries past its deadline; keeps no state between evaluations.
    Raises BrokerError POLICY_ENGINE_UNAVAILABLE when it cannot answer. It does not interpret the
    result: the pipeline does, strictly, so that every adapter is equally distrusted.
    """

    @property
    def version(self) -> PolicyVersion:
        """The policies that the next evaluation will use, as far as is known now."""

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation: ...


Activating = Callable[[PolicyVersion], Awaitable[None]]
"""Told of a policy version before it rules; where it raises BrokerError, the version does not rule."""


class Explainer(Protocol):
    """Evaluates `data.broker.<point>.explanation`: every condition of a decision, for those who may see it.

    The same guarantees as an Authorizer's; a result of None where the policies explain nothing.
    """

    async def explain(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation: ...


class DecisionObserver(Protocol):
    """Sees every decision about a call after it was made. `observe` returns at once, keeps nothing waiting
    and never raises.
    """

    def observe(self, observation: Observation) -> None: ...


class CredentialSource(Protocol):
    """Leases real keys, one call at a time.

    Safe for concurrent use. Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE when the key cannot be
    had, with `retry_after`. A lease never outlives the adapter's ceiling.
    """

    async def lease(self, credential: str) -> Lease: ...


class KeyPool(Protocol):
    """Leases one of the keys that a credential stands for. A credential without a pool is one key.

    Safe for concurrent use. `lease` never waits for a key in cooldown; it raises BrokerError
    UPSTREAM_RATE_LIMITED where all keys that fit are in cooldown, with `retry_after` until one is back, and
    CREDENTIAL_STORE_UNAVAILABLE where none fits the placement, none is left, or its store does not give it.
    The others return at once and never raise; they mean nothing for a version that is no longer current.
    """

    def lease(self, credential: str, placement: Placement, model: str | None) -> Awaitable[Lease]: ...

    def quarantine(self, credential: str, lease: Lease, code: str) -> None:
        """Upstream refused the key (401, with this error code): no call gets this version of it any more.
        Told to the log and the ledger, once.
        """

    def cool_down(self, lease: Lease, model: str | None, seconds: float | None) -> None:
        """Upstream answered 429: no call for this model gets the key for so many seconds."""

    def unfund(self, lease: Lease, spent: SpentMoney) -> None:
        """Upstream answered 429 because money is used up: for a minute, no call gets a key of this payer
        while any other could serve it, be it after a cooldown. Where none could, upstream is asked, for its
        limit may have been raised. Told to the log.
        """


@dataclass(frozen=True, slots=True)
class Signed:
    """An Ed25519 signature, and the public half (32 bytes) and version of the key that made it."""

    signature: bytes
    public_key: bytes
    key_version: int


class Certifier(Protocol):
    """Signs with an Ed25519 key that this process does not hold and cannot have.

    Safe for concurrent use; slow (milliseconds), so it is on no call's path. What it returns verifies: it was
    checked. Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE, within 2 s, when nothing can be signed.
    """

    async def sign(self, message: bytes) -> Signed: ...


class KeyStore(Protocol):
    """What an operator does to the keys behind a CredentialSource. Calls that begin a second later see it.

    Blocking. Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE with what to do about it; no key is in it. What
    `put`, `quarantine` and `release` did is durable when they return.
    """

    def names(self) -> tuple[str, ...]:
        """The credentials of the store, sorted."""

    def versions(self, name: str) -> tuple[KeyVersion, ...]:
        """All versions of one, oldest first."""

    def put(self, name: str, value: str) -> KeyVersion:
        """Stores `value` as the next version, which is leased from then on."""

    def quarantine(self, name: str, reason: str) -> KeyVersion:
        """Takes the newest version out of use: until it is released, or another one is stored."""

    def release(self, name: str) -> KeyVersion:
        """Ends the quarantine of the newest version; nothing where there is none."""


class Upstream(Protocol):
    """Sends one shaped request with the leased key and returns upstream's answer, whatever its status.

    429, 500, 502, 503 and 504 are retried with back-off, full jitter and the wait that upstream asks for, a
    429 only where the lease is `alone` and waiting helps. Nothing is retried after the first reply byte, nor
    what upstream may have carried out without an answer, unless it is idempotent. Each sending counts in
    `sends`, also of a call that is cancelled. A StreamReply's events are whole SSE events; the
    iterator raises BrokerError UPSTREAM_INTERRUPTED when the stream ends without its terminal event. Raises
    BrokerError UPSTREAM_UNAVAILABLE when no answer came. The key is in no exception and no log line.
    """

    async def send(self, request: UpstreamRequest, lease: Lease, sends: Sends) -> Reply | StreamReply: ...


class Ledger(Protocol):
    """The append-only signed log.

    `append` sequences, signs and stores; when it returns the entry survives SIGKILL and power loss
    (fdatasync). Concurrent appends share one sync (group commit); entries keep the order of the
    calls. Raises BrokerError AUDIT_UNAVAILABLE when durability cannot be had; the ledger then stays
    refused until the process restarts (an fsync is never retried).
    """

    async def append(self, record: Record) -> Receipt: ...


class AbandonedReservationError(asyncio.CancelledError):
    """Whoever reserved was cancelled meanwhile. The `reservation` counts, and its intent is recorded."""

    def __init__(self, reservation: Reservation) -> None:
        super().__init__()
        self.reservation = reservation


class CallLedger(Ledger, Protocol):
    """A Ledger that holds calls to their limits, and knows what was taken of each: what its records tell.

    `reserve` takes all charges and makes the intent durable, or does neither: it raises LimitExceededError
    for the first charge that would pass its cap, STATE_UNAVAILABLE where nobody can tell now what is taken,
    and AUDIT_UNAVAILABLE as `append` does. Where its caller is cancelled meanwhile it raises
    AbandonedReservationError once both are done, otherwise as if nothing had happened. Concurrent
    reservations never pass a cap together. What is reserved stays taken, whatever becomes of this process,
    until `settle` makes the outcome durable and changes what is taken, never below zero; a change may also be
    to more. A change of a window that has ended means nothing.
    """

    async def reserve(self, intent: Record, charges: Sequence[Charge]) -> Reservation: ...

    async def settle(self, outcome: Record, changes: Sequence[Taken]) -> Receipt: ...


class LimitReader(Protocol):
    """What is taken of limits, for those who may know it. No call waits for what is asked here.

    A limit is named as records name it. Raises BrokerError AUDIT_UNAVAILABLE where nobody can tell.
    """

    async def taken_of(self, windows: Sequence[Window]) -> tuple[int, ...]:
        """What is taken of each now."""

    async def most_used(self, named: str, most: int) -> tuple[LimitUse, ...]:
        """The limits whose name contains `named`, `most` of them: those first of which the largest part is
        taken. Where a cap is None, no call has named one since the start.
        """

    async def settled_of(self, limit: str) -> tuple[Taken, ...]:
        """What calls that are over have taken of this one, in each window that counts: what can be given
        back. Nobody else is told it until it was, or can be no more.
        """


class ObjectOwners(Protocol):
    """Remembers who made what OpenAI keeps: responses, chats, their items, containers.

    Safe for concurrent use, and never blocks. An owner is a name that policy chose. All raise BrokerError
    AUDIT_UNAVAILABLE where the memory can be neither read nor written: then nothing may be named, or made.
    """

    async def belong(self, owner: str, ids: Collection[str]) -> Mapping[str, bool]:
        """For each id that is known, whether it is `owner`'s. Another's is found with the work that an
        unknown one takes, so that no time tells which it is.
        """

    async def remember(
        self,
        owner: str,
        ids: Sequence[str],
        parent: str | None,
        keeping: Keeping = Keeping.USUAL,
        context: Context | None = None,
    ) -> None:
        """From now on they are `owner`'s, and durably so when this returns; what has an owner keeps it.
        `parent` is the object that they go with, `context` what is read where a call goes on from that.
        """

    async def measured(self, object_id: str, context: Context) -> None:
        """What is read where a call goes on from this object is known now."""

    async def contexts(self, ids: Collection[str]) -> Collection[Context | None]:
        """What is read at most where a call names these objects, or parts of them: one for each object that
        they go with, None where nobody knows.
        """

    async def forget(self, object_id: str) -> None:
        """The object is deleted, and what goes with it. Durable when this returns."""


class Clock(Protocol):
    """Time, sleep and randomness, so that the core has none of its own."""

    def now_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...

    def random_bytes(self, size: int) -> bytes: ...
