"""Owners on a disk: durable, first come first served, and no telling of others' objects."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.objects import SqliteObjectOwners
from broker.errors import BrokerError, Kind
from tests.contracts.object_owners_contract import ObjectOwnersContract, OpensOwners


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[SqliteObjectOwners]:
    owners = await _opened(folder)
    try:
        yield owners
    finally:
        await owners.close()


@pytest.fixture
async def owners(tmp_path: Path) -> AsyncIterator[SqliteObjectOwners]:
    opened = await _opened(tmp_path)
    yield opened
    await opened.close()


async def _opened(folder: Path) -> SqliteObjectOwners:
    owners = SqliteObjectOwners(folder / "objects.sqlite", SystemClock())
    await owners.open()
    return owners


class TestSqlite(ObjectOwnersContract):
    """The contract."""

    adapter = SqliteObjectOwners

    @pytest.fixture
    def open_owners(self) -> OpensOwners:
        return _open

    def lose(self, folder: Path) -> None:
        with sqlite3.connect(folder / "objects.sqlite") as other:
            other.execute("alter table objects rename to lost")
        other.close()


async def test_it_is_on_the_disk_when_remember_returns(tmp_path: Path) -> None:
    owners = await _opened(tmp_path)
    await owners.remember("a", ["resp_1"], None)
    with sqlite3.connect(tmp_path / "objects.sqlite") as other:  # another process, after a crash
        assert other.execute("select id, owner from objects").fetchall() == [("resp_1", "a")]
        assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    other.close()
    await owners.close()
    again = await _opened(tmp_path)
    assert await again.belong("a", ["resp_1"]) == {"resp_1": True}
    await again.close()


async def test_many_at_once_share_few_transactions(owners: SqliteObjectOwners) -> None:
    commits = 0
    commit = owners._commit

    def counted(batch: list[object]) -> None:
        nonlocal commits
        commits += 1
        commit(batch)  # type: ignore[arg-type]

    owners._commit = counted  # type: ignore[method-assign, assignment]
    await asyncio.gather(*(owners.remember("a", [f"resp_{number}"], None) for number in range(200)))
    assert commits <= 5
    assert len(await owners.belong("a", [f"resp_{number}" for number in range(1200)])) == 200


async def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "objects.sqlite").write_bytes(b"no database, but long enough to look like one" * 20)
    with pytest.raises(BrokerError) as caught:
        await _opened(tmp_path)
    assert caught.value.kind is Kind.AUDIT_UNAVAILABLE


async def test_the_file_is_for_its_owner_only(owners: SqliteObjectOwners, tmp_path: Path) -> None:
    assert (tmp_path / "objects.sqlite").stat().st_mode & 0o777 == 0o600
