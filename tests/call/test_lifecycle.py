"""The life of a call is what its table says: each transition, no other order, the records that follow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.call.admission import Admission
from broker.call.audited_call import AuditedCall, AuditPorts
from broker.call.lifecycle import RECORDS, TRANSITIONS, Event, IllegalTransitionError, Lifecycle, State
from broker.call.phases import Answered, RecordHead, Sent
from broker.call.unsettled import Backlog
from broker.errors import BrokerError, Kind
from broker.model.charge import LimitExceededError
from broker.model.record import Record, RecordType
from broker.model.secret import Lease, Secret
from tests.call.fakes import HandClock
from tests.call.opened import ASKED, AUTHENTICATED, CHARGE, DECIDED, DECODED, INSPECTED, admitted
from tests.keypool.fakes import MemoryLedger

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
DENIED, INTENT, OUTCOME = RecordType.DENIED, RecordType.INTENT, RecordType.OUTCOME
ENDS: Sequence[list[RecordType]] = ([], [DENIED], [INTENT, OUTCOME])
"""Nothing: the log was lost as the intent was to be written."""
LEGAL = """
    authenticated -denied-> denied              authenticated -authorized-> authorized
    authorized -recorded-> recorded             authorized -unrecorded-> unrecorded
    authorized -denied-> denied
    recorded -sent-> sent                       recorded -closed-> closed
    sent -unsent-> recorded                     sent -refused-> refused
    sent -answered-> answered                   sent -closed-> closed
    refused -sent-> sent                        refused -answered-> answered
    refused -closed-> closed
    answered -sent-> paging                     answered -closed-> closed
    paging -sent-> paging                       paging -unsent-> paging
    paging -refused-> paging                    paging -answered-> answered
    paging -closed-> closed
"""
LEGAL_STEPS = {
    (before, event): after
    for before, event, after in (
        step.replace("-> ", " ").replace(" -", " ").split()
        for step in LEGAL.replace("\n", "  ").split("  ")
        if step.strip()
    )
}
PATHS: dict[State, list[Event]] = {
    "authenticated": [],
    "authorized": ["authorized"],
    "recorded": ["authorized", "recorded"],
    "sent": ["authorized", "recorded", "sent"],
    "refused": ["authorized", "recorded", "sent", "refused"],
    "answered": ["authorized", "recorded", "sent", "answered"],
    "paging": ["authorized", "recorded", "sent", "answered", "sent"],
    "denied": ["denied"],
    "closed": ["authorized", "recorded", "closed"],
    "unrecorded": ["authorized", "unrecorded"],
}


def brought_to(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for event in PATHS[state]:
        lifecycle.take(event)
    assert lifecycle.state == state
    return lifecycle


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_each_event_in_each_state(state: State, event: Event) -> None:
    lifecycle = brought_to(state)
    after = LEGAL_STEPS.get((state, event))
    if after is None:
        with pytest.raises(IllegalTransitionError):
            lifecycle.take(event)
    else:
        lifecycle.take(event)
    assert lifecycle.state == (after or state)


@pytest.mark.parametrize("record", RecordType)
@pytest.mark.parametrize("state", STATES)
def test_each_record_in_each_state(state: State, record: RecordType) -> None:
    lifecycle = brought_to(state)
    if (state, record) in {("denied", DENIED), ("recorded", INTENT), ("closed", OUTCOME)}:
        lifecycle.check(record)
    else:
        with pytest.raises(IllegalTransitionError):
            lifecycle.check(record)


def test_every_state_has_a_row_and_what_ends_a_call_has_an_empty_one() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert {state for state in STATES if not TRANSITIONS[state]} == {
        "denied",
        "closed",
        "unrecorded",
    }


@given(st.lists(st.sampled_from(EVENTS)))
def test_whatever_happens_the_records_are_denied_or_an_intent_and_its_outcome(events: list[Event]) -> None:
    lifecycle, written, sent_unrecorded = Lifecycle(), list[RecordType](), False
    for event in events:
        with suppress(IllegalTransitionError):
            lifecycle.take(event)
            if event in RECORDS:
                written.append(RECORDS[event])
            if event == "sent":
                sent_unrecorded |= INTENT not in written
    assert not sent_unrecorded
    assert written in ([], [DENIED], [INTENT], [INTENT, OUTCOME])
    assert lifecycle.over == (written in ([DENIED], [INTENT, OUTCOME]) or lifecycle.state == "unrecorded")


class Driven:
    """A call to which anything is done in any order; what it may not do raises and changes nothing."""

    def __init__(self) -> None:
        self.clock, self.ledger = HandClock(), MemoryLedger()
        ports = AuditPorts(self.ledger, self.clock, Backlog())
        self.admission = Admission(ports, AUTHENTICATED)
        self.audited: AuditedCall | None = None

    async def do(self, act: str) -> None:
        await getattr(self, act)()

    async def reach(self) -> None:
        self.admission.reached(DECODED)
        self.admission.reached(INSPECTED)
        self.admission.reached(ASKED)
        self.admission.reached(DECIDED)

    async def deny(self) -> None:
        await self.admission.deny(BrokerError(Kind.POLICY_DENIED, "no"))

    async def open(self) -> None:
        self.audited = (await self.admission.open(admitted())).audited

    async def open_over_a_limit(self) -> None:
        with suppress(LimitExceededError):
            self.audited = (await self.admission.open(admitted(CHARGE._replace(cap=0)))).audited

    async def open_without_a_log(self) -> None:
        self.ledger.lost = True
        try:
            with suppress(BrokerError):
                await self.open()
        finally:
            self.ledger.lost = False

    async def open_and_leave(self) -> None:
        before, opening = len(self.ledger.records), asyncio.create_task(self.open())
        for _ in range(3):
            if len(self.ledger.records) == before:
                await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening

    async def send(self) -> None:
        if self.audited is not None:
            self.audited.sent(Sent(Lease("k", 1, Secret("sk-x"))))

    async def unsend(self) -> None:
        if self.audited is not None:
            self.audited.unsent()

    async def refuse(self) -> None:
        if self.audited is not None:
            self.audited.refused()

    async def answer(self) -> None:
        if self.audited is not None:
            self.audited.answered(Answered(200, None, True, 1))

    async def close(self) -> None:
        if self.audited is not None:
            await self.audited.close(error=Kind.CALLER_GONE)


ACTS = [name for name in vars(Driven) if not name.startswith("_") and name != "do"]


@given(st.lists(st.sampled_from(ACTS)))
async def test_whatever_is_done_to_a_call_it_leaves_denied_or_an_intent_and_its_outcome(
    acts: list[str],
) -> None:
    driven = Driven()
    for act in acts:
        before = types(driven.ledger.records)
        try:
            await driven.do(act)
        except IllegalTransitionError:
            assert types(driven.ledger.records) == before
        assert types(driven.ledger.records) in ([], [DENIED], [INTENT], [INTENT, OUTCOME])
    await driven.close()
    with suppress(IllegalTransitionError):
        await driven.deny()
    assert types(driven.ledger.records) in ENDS


def types(records: Sequence[Record]) -> list[RecordType]:
    return [record.type for record in records]


def test_a_head_is_how_each_record_begins() -> None:
    assert RecordHead._fields == Record._fields[1 : 1 + len(RecordHead._fields)]
