"""What every Ledger must do: in order, signed, durable before it returns, and refused for good without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest

from broker.errors import BrokerError, Kind
from broker.ports import Ledger
from broker.tlog.merkle import hash_leaf
from broker.tlog.report import Verdict
from tests.contracts.port_contract import PortContract
from tests.ledger.support import ORIGIN, batches, crashed, entries, intent, opened, outcome, report


class LedgerSetup(Protocol):
    """A ledger under test, whose log lies in `home`."""

    @property
    def ledger(self) -> Ledger: ...

    def lose(self) -> None:
        """Durability cannot be had any more."""

    def restore(self) -> None:
        """What kept it from the disk is well again."""


OpensLedger = Callable[[Path], AbstractAsyncContextManager[LedgerSetup]]


class LedgerContract(PortContract):
    """Needs a fixture `open_ledger`: OpensLedger."""

    port = Ledger

    async def test_it_is_the_adapter_that_is_named(self, open_ledger: OpensLedger, tmp_path: Path) -> None:
        async with open_ledger(tmp_path) as rig:
            self.under_test(rig.ledger)

    async def test_an_append_is_on_the_disk_when_it_returns(
        self, open_ledger: OpensLedger, tmp_path: Path
    ) -> None:
        home = tmp_path / "log"
        async with open_ledger(home) as rig:
            receipt = await rig.ledger.append(intent("c1"))
            copy = crashed(home, tmp_path / "copy")
        async with opened(copy):
            pass
        held = entries(copy)[receipt.seq]
        assert (held.record.call_id, held.place.seq) == ("c1", receipt.seq)
        assert (receipt.origin, receipt.leaf_hash) == (ORIGIN, hash_leaf(held.encode()))
        assert report(copy).verdict is Verdict.GOOD

    async def test_what_was_appended_is_signed_and_verifies(
        self, open_ledger: OpensLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            await asyncio.gather(*(rig.ledger.append(each) for each in (intent("c"), outcome("c"))))
        assert report(tmp_path).verdict is Verdict.GOOD

    async def test_entries_keep_the_order_of_the_calls(
        self, open_ledger: OpensLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            receipts = await asyncio.gather(*(rig.ledger.append(intent(f"c{n}")) for n in range(300)))
        first = receipts[0].seq
        assert [receipt.seq for receipt in receipts] == list(range(first, first + 300))
        assert [entry.record.call_id for entry in entries(tmp_path)[first : first + 300]] == [
            f"c{n}" for n in range(300)
        ]

    async def test_concurrent_appends_share_one_sync(self, open_ledger: OpensLedger, tmp_path: Path) -> None:
        async with open_ledger(tmp_path) as rig:
            before = batches(tmp_path)
            await asyncio.gather(*(rig.ledger.append(intent(f"c{n}")) for n in range(300)))
            assert batches(tmp_path) == before + 1
            await rig.ledger.append(outcome("c1"))
            assert batches(tmp_path) == before + 2

    async def test_where_durability_is_lost_every_append_is_refused_until_a_restart(
        self, open_ledger: OpensLedger, tmp_path: Path
    ) -> None:
        async with open_ledger(tmp_path) as rig:
            await rig.ledger.append(intent("before"))
            rig.lose()
            ends = await asyncio.gather(
                *(rig.ledger.append(intent(f"lost{n}")) for n in range(20)), return_exceptions=True
            )
            assert {type(end) for end in ends} == {BrokerError}
            rig.restore()
            for _ in range(3):
                with pytest.raises(BrokerError) as refused:
                    await rig.ledger.append(intent("after"))
                assert refused.value.kind is Kind.AUDIT_UNAVAILABLE
                assert refused.value.remedy
        async with open_ledger(tmp_path) as rig:
            for record in (intent("again"), outcome("again")):
                await rig.ledger.append(record)
        held = {entry.record.call_id for entry in entries(tmp_path)}
        assert {"before", "again"} <= held
        assert "after" not in held
        assert report(tmp_path).verdict is Verdict.GOOD
