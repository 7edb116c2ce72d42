"""What a log tells of limits is what was held of them, whatever happens when: never more than the cap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from broker.budget.limits import FORGIVEN_SECONDS, CapPassed, LimitWindows
from broker.budget.window import start_of
from broker.call.charging import Cost
from broker.call.unsettled import charged
from broker.model.charge import Charge, Taken, Unit, Window, most, settled, used
from broker.model.record import Record, RecordType
from broker.tlog.entry import EntryPlace
from broker.tlog.spent import OpenReservations, tells, told
from tests.budget.test_limits import HandClock
from tests.budget.windows import SpentWindows
from tests.sizes import sized
from tests.tlog.samples import seal, signer

CAPS = {
    ("team requests/minute", Unit.REQUESTS, 60): 5,
    ("team tokens/minute", Unit.TOKENS, 60): 400,
    ("user:a money/hour", Unit.MICRO_USD, 3600): 900,
    ("user:b money/hour", Unit.MICRO_USD, 3600): 300,
}


@dataclass(frozen=True)
class Opened:
    """A call whose intent is on its way to the disk, or there."""

    life: int
    call_id: str
    reserved: tuple[Taken, ...]


_REFUSED = Opened(-1, "", ())


class Spending(RuleBasedStateMachine):
    """Reservations, settlements and late settlements, in lives that end whenever; time that goes on, or is
    set back by less than a minute. `_waiting` is what the disk has not got: of that a crash leaves any part
    that comes first.
    """

    calls, answered = Bundle("calls"), Bundle("answered")

    def __init__(self) -> None:
        super().__init__()
        self._clock = HandClock()
        self._windows = LimitWindows()
        self._latest = self._clock.seconds
        self._life = self._number = 0
        self._log: list[bytes] = []
        self._waiting: list[tuple[bytes, Callable[[], None]]] = []

    @rule(
        target=calls,
        tokens=st.integers(0, 300),
        money=st.integers(0, 300),
        limits=st.lists(st.sampled_from(sorted(CAPS)), min_size=1, max_size=4),
        recordable=st.integers(0, 9),
    )
    def reserve(
        self, tokens: int, money: int, limits: list[tuple[str, Unit, int]], recordable: int
    ) -> Opened:
        worst = most(tokens, money, stream=False)
        if not recordable:  # no entry can hold it: it is not even asked for
            return _REFUSED
        now_ns = self._clock.now_ns()
        charges = [
            Charge(Taken(key, unit, sec, start_of(now_ns, sec), worst[unit]), CAPS[key, unit, sec])
            for key, unit, sec in limits
        ]
        self._number += 1
        if isinstance(self._windows.reserve(charges), CapPassed):
            return _REFUSED
        opened = Opened(self._life, f"c{self._number}", tuple(each.taken for each in charges))
        self._append(Record(RecordType.INTENT, opened.call_id, reserved=opened.reserved), lambda: None)
        return opened

    @rule(target=answered, call=consumes(calls), share=st.floats(0, 1), tokens=st.integers(0, 300))
    def close(self, call: Opened, share: float, tokens: int) -> tuple[Opened, Cost]:
        worst = {taken.unit: taken.amount for taken in call.reserved}
        cost = Cost(
            min(tokens, worst.get(Unit.TOKENS, 0)), int(share * worst.get(Unit.MICRO_USD, 0)), exact=False
        )
        if call.life == self._life:
            record = Record(
                RecordType.OUTCOME,
                call.call_id,
                requests_charged=1,
                tokens_charged=cost.tokens,
                cost_micro_usd=cost.micro_usd,
            )
            stays = used(cost.tokens, cost.micro_usd)
            self._append(record, lambda: self._windows.change(settled(call.reserved, stays)))
            self.sync()  # nobody has the end of an answer before
        return call, cost

    @rule(response=consumes(answered), share=st.floats(0, 1))
    def read_later(self, response: tuple[Opened, Cost], share: float) -> None:
        """What a response has cost that was not done yet: the outcome of whoever reads it tells."""
        call, cost = response
        if call.life != self._life:
            return
        known = {Unit.TOKENS: int(cost.tokens * share), Unit.MICRO_USD: int(cost.micro_usd * share)}
        changes = settled(charged(call.reserved, cost), known)
        self._number += 1
        record = Record(RecordType.OUTCOME, f"c{self._number}", adjusted=changes)
        self._append(record, lambda: self._windows.change(changes))
        self.sync()

    @rule()
    def sync(self) -> None:
        waiting, self._waiting = self._waiting, []
        for entry, then in waiting:
            self._log.append(entry)
            then()

    @rule(seconds=st.one_of(st.integers(1, 50), st.integers(1000, 4000), st.integers(-90, -1)))
    def pass_time(self, seconds: int) -> None:
        self._clock.seconds = max(self._clock.seconds + seconds, self._latest - FORGIVEN_SECONDS + 1)
        self._latest = max(self._latest, self._clock.seconds)

    @rule(kept=st.integers(0, 5))
    def crash_and_start(self, kept: int) -> None:
        self._log += [entry for entry, _ in self._waiting[:kept]]
        self._waiting = []
        self._life += 1
        self._windows = LimitWindows(self._spent().items(self._now - FORGIVEN_SECONDS))
        closed = [
            Record(RecordType.RECOVERED, call_id) for call_id, _ in OpenReservations(_open(self._log)).items()
        ]
        for record in closed:
            self._append(record, lambda: None)
        self.sync()

    @invariant()
    def the_log_tells_what_is_held(self) -> None:
        if not self._waiting:
            counted = {each[:4]: each.amount for each in self._windows.items() if each.amount}
            assert _live(counted, self._now) == {
                each[:4]: each.amount for each in self._spent().items(self._now) if each.amount
            }

    @invariant()
    def no_cap_is_passed(self) -> None:
        """By the plainest count there is: each call by itself, at its worst case unless it has an outcome."""
        total: Counter[Window] = Counter()
        outcomes = {each.call_id: each for each in self._told() if each.type is RecordType.OUTCOME}
        for record in self._told():
            for taken in record.reserved or ():
                total[taken[:4]] += _used(taken, outcomes.get(record.call_id))
            for late in record.adjusted or ():
                total[late[:4]] += late.amount
        assert all(spent <= CAPS[window[:3]] for window, spent in total.items())

    def _append(self, record: Record, then: Callable[[], None]) -> None:
        place = EntryPlace("i", len(self._log) + len(self._waiting), 0)
        self._waiting.append((seal(record, place, signer(1)), then))

    def _told(self) -> list[Record]:
        return [told(entry) for entry in self._log if tells(entry)]

    def _spent(self) -> SpentWindows:
        spent = SpentWindows()
        for record in self._told():
            spent.observe(record)
        return spent

    @property
    def _now(self) -> int:
        return int(self._clock.seconds)


def _open(log: list[bytes]) -> tuple[tuple[str, tuple[Taken, ...]], ...]:
    reservations = OpenReservations()
    for entry in log:
        if tells(entry):
            reservations.observe(told(entry))
    return reservations.items()


def _live(counted: dict[Window, int], now: int) -> dict[Window, int]:
    return {window: taken for window, taken in counted.items() if window[2] + window[3] > now}


def _used(taken: Taken, outcome: Record | None) -> int:
    if outcome is None:
        return taken.amount
    used = {
        Unit.REQUESTS: outcome.requests_charged,
        Unit.TOKENS: outcome.tokens_charged,
        Unit.MICRO_USD: outcome.cost_micro_usd,
    }[taken.unit]
    return taken.amount if used is None else used


TestNeverMoreSpentThanTheCapAtAnyInterleavingCrashAndReplay = Spending.TestCase
TestNeverMoreSpentThanTheCapAtAnyInterleavingCrashAndReplay.settings = settings(
    max_examples=sized(60), stateful_step_count=40
)


def test_a_call_without_an_outcome_keeps_its_worst_case_and_an_ended_window_is_forgotten() -> None:
    spent = SpentWindows()
    worst = (Taken("a b", Unit.TOKENS, 60, 120, 50), Taken("a b", Unit.MICRO_USD, 3600, 0, 9))
    spent.observe(Record(RecordType.INTENT, "c", reserved=worst))
    spent.observe(Record(RecordType.RECOVERED, "c"))
    assert spent.items(179) == worst
    assert spent.items(180) == worst[1:]
    spent.observe(Record(RecordType.OUTCOME, "c", requests_charged=1, tokens_charged=0, cost_micro_usd=0))
    assert spent.items(180) == worst[1:], "it was closed before"


def test_an_old_record_tells_nothing_of_limits() -> None:
    for record in (
        Record(RecordType.INTENT, "c", user='"reserved":['),
        Record(RecordType.OUTCOME, "c", cost_micro_usd=5),
        Record(RecordType.DENIED, "c"),
    ):
        assert not tells(seal(record, EntryPlace("i", 0, 0), signer(1)))
