"""When a request is begun, and when it is refused because there is too much to do (adr/0079).

Knows: who asks, how long requests wait, and the event loop. Must not know: what a request asks for, how a
refusal looks.

The event loop's time is what is scarce. One request is begun in each turn of the loop, so what has been
begun goes on ahead of what waits, and what waits is in a queue of ours where each subject has its turn. A
request that waits for upstream, or a stream that is silent, takes no turn of anybody. What is begun waits for
its body, for policy and for the log, too; where they are slow, subjects share MOST_PREPARING places.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from broker.errors import BrokerError, Kind
from broker.listeners.fair_queue import FairQueue, FairShare
from broker.listeners.surge import MOST_IN_OVERLOAD, Surge
from broker.model.record import Record, RecordType
from broker.model.subject import Peer
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

MOST_PREPARING = 256
"""So many requests at most are worked on, or wait for the log, before they wait for upstream alone."""
LONGEST_WAIT_NS = NS_PER_SECOND
"""While overload lasts, whoever has waited so long is refused: the newest might go ahead of it forever."""
RETRY_AFTER_SECONDS = 1.0
_AT_ONCE = 32
_PUSHED_OUT = 4
_NOBODY = ""


class Sender(NamedTuple):
    """Who asks, and over which transport; `peer` None: a stranger, without a certificate that we accept."""

    peer: Peer | None
    transport: str

    @property
    def subject(self) -> str:
        """Whose turn is taken. All strangers are one."""
        return _NOBODY if self.peer is None else self.peer.spiffe_id


class BegunRequest(Protocol):
    """What a request has once it is begun. `admitted` tells that it waits for upstream alone, `ended` that it
    is over, however it went; each may be told again.
    """

    def admitted(self) -> None: ...

    def ended(self) -> None: ...


class Request(Protocol):
    """A request at a listener. One of both is called, once. `begin` says whether somebody still waits for it:
    `begun.ended` is then due. `refuse` returns the call id that was told.
    """

    def begin(self, begun: BegunRequest) -> bool: ...

    def refuse(self, error: BrokerError) -> str: ...


class LoadObserver(Protocol):
    """Hears what becomes of requests: begun after so many seconds, or refused, and why."""

    def begun(self, waited_seconds: float) -> None: ...

    def refused(self, reason: str) -> None: ...


class _WaitingRequest(NamedTuple):
    since_ns: int
    sender: Sender
    request: Request


class LoadShedder:
    """One for all listeners of a process, and one event loop. `record` is told of each refusal of somebody
    whose certificate we accept, with its call id.
    """

    def __init__(
        self,
        clock: Clock,
        observer: LoadObserver,
        record: Callable[[Record, str], None],
        *,
        waiting: int,
        under_way: int,
    ) -> None:
        """At most so many requests wait, and so many are under way."""
        self._clock = clock
        self._observer = observer
        self._record = record
        self._under_way = FairShare(under_way)
        self._preparing = FairShare(MOST_PREPARING)
        self._queue: FairQueue[_WaitingRequest] = FairQueue(waiting)
        self._surge = Surge()
        self._turning = False

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._queue)

    @property
    def under_way(self) -> int:
        """Requests that were begun and have not ended."""
        return self._under_way.taken

    def arrive(self, sender: Sender, request: Request) -> None:
        """Begins the request, now or when it is its turn, or refuses it."""
        subject = sender.subject
        self._surge.arrived()
        if not (self._turning or self._queue.waiting(subject)) and self._preparing.allows(subject):
            self._begin(sender, request, 0)
        else:
            self._queue_up(subject, _WaitingRequest(self._clock.monotonic_ns(), sender, request))

    def _begin(self, sender: Sender, request: Request, waited_ns: int) -> None:
        """Now, if somebody still waits for it. The next one is begun in the next turn of the loop."""
        if not self._under_way.take(sender.subject):
            self._refuse(sender, request, "under_way")
            return
        self._preparing.take(sender.subject)
        if not request.begin(_HeldRequest(self, sender.subject)):
            self._preparing.give(sender.subject)
            self._under_way.give(sender.subject)
            return
        self._surge.begun(len(self._queue))
        self._observer.begun(waited_ns / NS_PER_SECOND)
        self._go_on()

    def _go_on(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A turn of the event loop: one request is begun, if one waits."""
        self._turning = False
        now = self._clock.monotonic_ns()
        for _ in range(_AT_ONCE):
            if self._turning:
                return
            one = self._queue.take(self._preparing.allows, newest=self._surge.lasts)
            if one is None:
                return
            self._begin(one.sender, one.request, now - one.since_ns)
        self._go_on()  # nobody waited for these any more; the next ones are looked at in a turn of their own

    def prepared(self, subject: str) -> None:
        """For what was begun: it no longer counts among those that are prepared."""
        self._preparing.give(subject)
        if len(self._queue):
            self._go_on()

    def left(self, subject: str) -> None:
        """For what was begun: it is over."""
        self._under_way.give(subject)

    def _queue_up(self, subject: str, one: _WaitingRequest) -> None:
        if not self._queue.put(subject, one):
            self._refuse(one.sender, one.request, "queue_full")
        elif self._surge.lasts:
            self._push_out(subject, one.since_ns - LONGEST_WAIT_NS)

    def _push_out(self, subject: str, before_ns: int) -> None:
        """Of a subject with more waiting than its part, or since before that, the oldest are refused: a few
        for each that comes.
        """
        part = max(1, MOST_IN_OVERLOAD // self._queue.subjects)
        for _ in range(_PUSHED_OUT):
            oldest = self._queue.oldest(subject)
            if self._queue.waiting(subject) <= part and oldest.since_ns >= before_ns:
                return
            self._queue.drop(subject)
            self._surge.pushed_out()
            self._refuse(oldest.sender, oldest.request, "pushed_out")

    def _refuse(self, sender: Sender, request: Request, reason: str) -> None:
        call_id = request.refuse(overloaded())
        self._observer.refused(reason)
        if sender.peer is not None:
            self._record(_turned_away(sender.peer, sender.transport, reason), call_id)


class _HeldRequest:
    """Implements BegunRequest."""

    __slots__ = ("_shedder", "_subject", "_waits_for_upstream")

    def __init__(self, shedder: LoadShedder, subject: str) -> None:
        self._shedder: LoadShedder | None = shedder
        self._subject = subject
        self._waits_for_upstream = False

    def admitted(self) -> None:
        if not self._waits_for_upstream and self._shedder is not None:
            self._waits_for_upstream = True
            self._shedder.prepared(self._subject)

    def ended(self) -> None:
        self.admitted()
        shedder, self._shedder = self._shedder, None
        if shedder is not None:
            shedder.left(self._subject)


def overloaded() -> BrokerError:
    """What is said to whom the broker has no time for."""
    return BrokerError(
        Kind.OVERLOADED,
        "The broker has too much to do.",
        remedy="Nothing was done for this request; ask again after retry-after.",
        retry_after=RETRY_AFTER_SECONDS,
    )


@lru_cache(maxsize=4096)
def _turned_away(peer: Peer, transport: str, reason: str) -> Record:
    return Record(
        RecordType.DENIED,
        call_id="",  # of the first one, as it is counted
        user=peer.spiffe_id,
        subject=peer.spiffe_id,
        cert_sha256=peer.cert_sha256,
        transport=transport,
        decision="refuse",
        reason=Kind.OVERLOADED.value,
        rule=f"overload.{reason}",
    )
