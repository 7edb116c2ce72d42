"""Requests at a load shedder, each of which tells what became of it, and callers who send them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.adapters.clock import SystemClock
from broker.errors import BrokerError, Kind
from broker.listeners.overload import BegunRequest, LoadShedder, Sender
from broker.model.record import Record
from broker.model.subject import Peer


def sender(name: str) -> Sender:
    """Somebody with a certificate."""
    return Sender(Peer(f"spiffe://d/{name}", f"{name}-certificate", 0, 1), "https")


@dataclass(eq=False)
class Asked:
    """A listeners.overload.Request. `left`: nobody waits for it. `brief`: it is over as it begins."""

    name: str = ""
    left: bool = False
    brief: bool = False
    now: Callable[[], int] = lambda: 0
    came: int = 0
    waited: int | None = None
    """Turns, once it was begun."""
    begun: BegunRequest | None = None
    refusal: BrokerError | None = None

    @property
    def waits(self) -> bool:
        """Whether nothing has become of it yet."""
        return self.begun is None and self.refusal is None

    def begin(self, begun: BegunRequest) -> bool:
        assert self.waits
        if self.left:
            return False
        self.begun, self.waited = begun, self.now() - self.came
        if self.brief:
            begun.ended()
        return True

    def refuse(self, error: BrokerError) -> str:
        assert self.waits
        assert error.kind is Kind.OVERLOADED
        self.refusal = error
        return f"call_{self.name}"


class Shedding:
    """A load shedder, and what it tells. `sent` are the requests that came, in their order."""

    def __init__(self, *, waiting: int = 4096, under_way: int = 4096) -> None:
        self.waits: list[float] = []
        self.reasons: list[str] = []
        self.records: list[tuple[Record, str]] = []
        self.sent: list[Asked] = []
        self.turn = 0
        self.shedder = LoadShedder(
            SystemClock(),
            self,
            lambda record, call_id: self.records.append((record, call_id)),
            waiting=waiting,
            under_way=under_way,
        )

    def begun(self, waited_seconds: float) -> None:
        self.waits.append(waited_seconds)

    def refused(self, reason: str) -> None:
        self.reasons.append(reason)

    def send(self, who: str, *, left: bool = False, brief: bool = False) -> Asked:
        """One request of theirs."""
        asked = Asked(f"{who}{len(self.sent)}", left, brief, lambda: self.turn, self.turn)
        self.sent.append(asked)
        self.shedder.arrive(sender(who), asked)
        return asked
