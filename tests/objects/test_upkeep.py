"""The file of owners is made of the log, pruned and bounded; what an operator wishes is recorded first."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.objects import NAME, ObjectsFile, RetentionBounds, SqliteObjectOwners, Upkeep
from broker.adapters.objects.store import KEEP_SECONDS
from broker.errors import BrokerError, Kind
from broker.model.record import Receipt, Record, RecordType
from broker.model.stored import Adopted, Context, Gone, Keeping, Made
from broker.tlog.entry import EntryPlace
from broker.tlog.malformed import MalformedError
from broker.tlog.objects import ADOPTED, FORGOTTEN, TELLING, changes
from broker.tlog.recordkey import RecordSigner
from broker.tlog.search import ALL, Search
from tests.call.fakes import HandClock
from tests.sizes import sized
from tests.tlog.samples import seal

DAY = 86_400
SIGNER = RecordSigner(Ed25519PrivateKey.from_private_bytes(b"k" * 32))


class MemoryLog:
    """A ledger whose entries are real ones."""

    origin = "test/log"

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.entries: list[bytes] = []
        self.damaged = False

    @property
    def size(self) -> int:
        return len(self.entries)

    async def append(self, record: Record) -> Receipt:
        at = EntryPlace("i", self.size, self._clock.now_ns() // 1000)
        self.entries.append(seal(record, at, SIGNER))
        return Receipt(self.origin, at.seq, b"")

    async def tail(self, after_seq: int, search: Search = ALL) -> AsyncIterator[tuple[int, bytes]]:
        for seq, entry in enumerate(self.entries):
            if self.damaged:
                raise MalformedError("damaged")
            if seq > after_seq and search.finds(entry):
                yield seq, entry


class House:
    """A folder with a file of owners, a log, and a broker's two sides of it, started anew at will."""

    def __init__(self, folder: Path, bounds: RetentionBounds | None = None) -> None:
        self.path = folder / NAME
        self.clock = HandClock()
        self.log = MemoryLog(self.clock)
        self.bounds = bounds or RetentionBounds()

    async def start(self) -> None:
        self.owners = SqliteObjectOwners(self.path, self.clock, self.bounds.keep_seconds)
        await self.owners.open()
        self.upkeep = Upkeep(self.path, self.log, self.clock, self.bounds, self.owners.look_again)
        await self.upkeep.open()

    async def stop(self) -> None:
        await self.upkeep.aclose()
        await self.owners.close()

    async def made(self, owner: str, object_id: str, *parts: str, keeping: Keeping = Keeping.USUAL) -> None:
        """As a call does it: the owner first, then its outcome."""
        await self.owners.remember(owner, (object_id, *parts), object_id, keeping)
        until = 0 if keeping is Keeping.UNTIL_DELETED else None
        await self.log.append(outcome(owner, object_id, parts, until))

    async def deleted(self, object_id: str) -> None:
        await self.owners.forget(object_id)
        record = Record(
            RecordType.OUTCOME, "c", operation="responses.delete", status=200, object_id=object_id
        )
        await self.log.append(record)

    async def owned(self, owner: str, *ids: str) -> set[str]:
        return {each for each, own in (await self.owners.belong(owner, ids)).items() if own}

    def wish(self, object_id: str, owner: str | None) -> None:
        file = ObjectsFile(self.path)
        file.wish(object_id, owner, None, "alice")
        file.close()

    def lose(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(NAME + suffix).unlink(missing_ok=True)


def outcome(owner: str, object_id: str, parts: tuple[str, ...] = (), until: int | None = None) -> Record:
    return Record(
        RecordType.OUTCOME,
        "c",
        operation="responses",
        status=200,
        object_id=object_id,
        object_owner=owner,
        objects=parts or None,
        object_until=until,
        model_served="gpt-4o",
        tokens_in=10,
        tokens_out=4,
    )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    built = House(tmp_path)
    await built.start()
    yield built
    await built.stop()


async def test_a_lost_file_is_made_anew_from_the_log_before_calls_are_served(house: House) -> None:
    await house.made("a", "resp_1", "msg_1")
    await house.made("b", "resp_2")
    await house.deleted("resp_2")
    await house.made("b", "resp_3", keeping=Keeping.UNTIL_DELETED)
    await house.stop()
    house.lose()
    await house.start()
    assert await house.owned("a", "resp_1", "msg_1", "resp_2", "resp_3") == {"resp_1", "msg_1"}
    assert await house.owned("b", "resp_2", "resp_3") == {"resp_3"}
    row = ObjectsFile(house.path).row("resp_1")
    assert row is not None
    assert (row.tokens, row.counted_for) == (14, "gpt-4o")


async def test_an_older_file_is_brought_up_to_the_log(house: House, tmp_path: Path) -> None:
    await house.made("a", "resp_1")
    await house.stop()
    older = house.path.read_bytes()
    await house.start()
    await house.made("a", "resp_2")
    await house.deleted("resp_1")
    await house.stop()
    house.lose()
    house.path.write_bytes(older)
    await house.start()
    assert await house.owned("a", "resp_1", "resp_2") == {"resp_2"}


async def test_only_what_is_new_in_the_log_is_read_again(house: House) -> None:
    await house.made("a", "resp_1")
    await house.stop()
    house.log.entries[0] = b"unreadable"
    await house.start()
    assert await house.owned("a", "resp_1") == {"resp_1"}


async def test_the_file_of_a_longer_log_is_read_against_all_of_this_one(house: House) -> None:
    for number in range(3):
        await house.made("a", f"resp_{number}")
    await house.stop()
    house.log.entries = house.log.entries[:1]
    await house.start()
    assert ObjectsFile(house.path).position("test/log") == 1


async def test_a_log_that_cannot_be_read_lets_no_call_be_served(house: House) -> None:
    await house.made("a", "resp_1")
    await house.stop()
    house.lose()
    house.log.entries[0] = b'{"object_id":"resp_1"}'
    with pytest.raises(BrokerError) as caught:
        await house.start()
    assert caught.value.kind is Kind.AUDIT_UNAVAILABLE
    assert "broker audit verify" in caught.value.remedy
    house.log.entries.clear()
    await house.owners.close()
    await house.start()


async def test_owners_of_responses_are_forgotten_after_openai_has_deleted_them(house: House) -> None:
    await house.made("a", "resp_1", "msg_1")
    await house.made("a", "conv_1", keeping=Keeping.UNTIL_DELETED)
    await house.owned("a", "resp_1")  # known without a look at the file
    house.clock.ns += 30 * DAY * 10**9
    await house.upkeep.prune()
    assert await house.owned("a", "resp_1", "msg_1") == {"resp_1", "msg_1"}
    house.clock.ns += DAY * 10**9
    await house.upkeep.prune()
    assert await house.owned("a", "resp_1", "msg_1", "conv_1") == {"conv_1"}
    await house.stop()
    house.lose()
    await house.start()  # nor does the log bring them back
    assert await house.owned("a", "resp_1", "msg_1", "conv_1") == {"conv_1"}


async def test_the_file_is_bounded_and_who_has_most_loses_the_oldest(tmp_path: Path) -> None:
    house = House(tmp_path, RetentionBounds(most=10))
    await house.start()
    for number in range(20):
        await house.made("flood", f"resp_f{number}")
        house.clock.ns += 10**9
    await house.made("other", "resp_o")
    house.wish("conv_1", "flood")
    await house.upkeep.carry_out()
    await house.upkeep.prune()
    assert ObjectsFile(house.path).count() == 10
    assert await house.owned("other", "resp_o") == {"resp_o"}
    left = await house.owned("flood", "conv_1", *(f"resp_f{number}" for number in range(20)))
    assert left == {"conv_1", *(f"resp_f{number}" for number in range(12, 20))}
    await house.stop()


async def test_what_an_operator_adopts_is_recorded_before_it_counts(house: House) -> None:
    house.wish("conv_1", "a")
    assert await house.owned("a", "conv_1") == set()
    await house.upkeep.carry_out()
    assert await house.owned("a", "conv_1") == {"conv_1"}
    [(change, _)] = changes(house.log.entries)
    assert change == Adopted("a", ("conv_1",), None)
    assert ADOPTED.encode() in house.log.entries[0]
    assert b'"user":"alice"' in house.log.entries[0]
    await house.stop()
    house.lose()
    await house.start()
    assert await house.owned("a", "conv_1") == {"conv_1"}


async def test_what_an_operator_has_forgotten_is_nobodys_at_once(house: House) -> None:
    await house.made("a", "resp_1", "msg_1")
    assert await house.owned("a", "resp_1", "msg_1") == {"resp_1", "msg_1"}
    house.wish("resp_1", None)
    await house.upkeep.carry_out()
    assert await house.owned("a", "resp_1", "msg_1") == set()
    assert FORGOTTEN.encode() in house.log.entries[-1]
    await house.stop()
    house.lose()
    await house.start()
    assert await house.owned("a", "resp_1", "msg_1") == set()


async def test_an_adoption_takes_an_object_and_its_parts_from_their_owner(house: House) -> None:
    await house.made("a", "resp_1", "msg_1")
    assert await house.owned("a", "resp_1") == {"resp_1"}
    house.wish("resp_1", "b")
    await house.upkeep.carry_out()
    assert await house.owned("a", "resp_1", "msg_1") == set()
    assert await house.owned("b", "resp_1", "msg_1") == {"resp_1", "msg_1"}


async def test_a_wish_that_cannot_be_recorded_is_not_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_record: Record) -> Receipt:
        raise BrokerError(Kind.AUDIT_UNAVAILABLE, "full")

    house.wish("conv_1", "a")
    with monkeypatch.context() as patched:
        patched.setattr(house.log, "append", refuse)
        with pytest.raises(BrokerError):
            await house.upkeep.carry_out()
    assert await house.owned("a", "conv_1") == set()
    await house.upkeep.carry_out()
    assert await house.owned("a", "conv_1") == {"conv_1"}


async def test_a_wish_of_the_night_is_carried_out_by_the_next_start(house: House) -> None:
    await house.stop()
    house.wish("conv_1", "a")
    await house.start()
    assert await house.owned("a", "conv_1") == {"conv_1"}


async def test_a_file_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    house = House(tmp_path)
    old = sqlite3.connect(house.path)
    old.execute(
        "create table objects (id text primary key, owner text not null, parent text, made integer not null)"
        " without rowid"
    )
    now = house.clock.now_ns() // 10**9
    rows = [
        ("resp_1", "a", None, now),
        ("resp_2", "a", None, now - KEEP_SECONDS),
        ("chatcmpl-1", "a", None, 5),
    ]
    old.executemany("insert into objects values (?, ?, ?, ?)", rows)
    old.commit()
    old.close()
    await house.start()
    assert await house.owned("a", "resp_1", "resp_2", "chatcmpl-1") == {"resp_1", "chatcmpl-1"}
    await house.stop()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "keep", "delete", "adopt", "forget", "crash"]),
        st.integers(0, 3),
        st.sampled_from("ab"),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=sized(25))
async def test_after_any_history_a_file_made_anew_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    house = House(tmp_path_factory.mktemp("h"))
    await house.start()
    for step, number, owner in steps:
        name = f"resp_{number}"
        if step in ("make", "keep"):
            keeping = Keeping.USUAL if step == "make" else Keeping.UNTIL_DELETED
            if not await house.owners.belong("?", [name]):  # OpenAI gives no id twice
                await house.made(owner, name, f"msg_{number}", keeping=keeping)
        elif step == "delete" and name in await house.owned(owner, name):
            await house.deleted(name)
        elif step in ("adopt", "forget"):
            house.wish(name, owner if step == "adopt" else None)
            await house.upkeep.carry_out()
        elif step == "crash":
            await house.owners.close()
            house.upkeep._file.close()
            await house.start()
    await house.stop()
    file = ObjectsFile(house.path)
    known = {row.id: (row.owner, row.until is None, row.adopted, row.parent) for row in file.rows()}
    file.close()
    house.lose()
    await house.start()
    await house.stop()
    file = ObjectsFile(house.path)
    anew = {row.id: (row.owner, row.until is None, row.adopted, row.parent) for row in file.rows()}
    file.close()
    assert anew == known


def test_a_log_tells_of_made_adopted_and_deleted_objects_only() -> None:
    def told(record: Record) -> list[object]:
        return [change for change, _ in changes([seal(record, EntryPlace("i", 0, 0), SIGNER)])]

    assert told(outcome("a", "resp_1", ("msg_1",)))[0] == Made(
        "a", ("resp_1", "msg_1"), "resp_1", Keeping.USUAL, Context(14, "gpt-4o")
    )
    assert told(Record(RecordType.INTENT, "c", object_id="resp_1")) == []
    read = Record(RecordType.OUTCOME, "c", operation="responses.input_items", status=200, object_id="resp_1")
    assert told(read) == []
    gone = Record(RecordType.OUTCOME, "c", operation="chat.delete", status=200, object_id="x")
    assert told(gone) == [Gone("x")]
    assert told(gone._replace(status=404)) == []
    assert told(Record(RecordType.OUTCOME, "c", object_owner="a", objects=("cntr_1",))) == [
        Made("a", ("cntr_1",), None)
    ]
    assert not TELLING.finds(seal(Record(RecordType.OUTCOME, "c", status=200), EntryPlace("i", 0, 0), SIGNER))
