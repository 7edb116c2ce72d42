"""What every ObjectOwners must do: first come first served, durable, and no telling of others' objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from broker.errors import BrokerError, Kind
from broker.model.stored import Context
from broker.ports import ObjectOwners
from tests.contracts.port_contract import PortContract

SMALL, LARGE = Context(10, "gpt-4o"), Context(900, "gpt-4o")
OpensOwners = Callable[[Path], AbstractAsyncContextManager[ObjectOwners]]


class ObjectOwnersContract(PortContract):
    """Needs fixtures `open_owners`: OpensOwners, what one remembers in a folder the next one knows; and
    `owners`: some that remember nothing.
    """

    port = ObjectOwners

    def lose(self, folder: Path) -> None:
        """What is remembered in the folder can be neither read nor written any more."""
        raise NotImplementedError

    async def test_it_is_the_adapter_that_is_named(self, owners: ObjectOwners) -> None:
        self.under_test(owners)

    async def test_what_is_remembered_is_its_owners(self, owners: ObjectOwners) -> None:
        await owners.remember("a", ["resp_1", "msg_1"], "resp_1")
        for _ in range(2):  # the second time without a look at what is stored
            assert await owners.belong("a", {"resp_1", "msg_1", "resp_2"}) == {"resp_1": True, "msg_1": True}
        assert await owners.belong("b", ["resp_1"]) == {"resp_1": False}

    async def test_what_has_an_owner_keeps_it(self, owners: ObjectOwners) -> None:
        await owners.remember("a", ["resp_1"], None)
        await owners.remember("b", ["resp_1"], None)
        assert await owners.belong("a", ["resp_1"]) == {"resp_1": True}
        assert await owners.belong("b", ["resp_1"]) == {"resp_1": False}

    async def test_what_is_forgotten_is_nobodys_with_all_its_parts(self, owners: ObjectOwners) -> None:
        await owners.remember("a", ["resp_1", "msg_1"], "resp_1")
        await owners.remember("a", ["resp_2"], "resp_2")
        await owners.belong("a", ["resp_1", "msg_1", "resp_2"])
        await owners.forget("resp_1")
        assert await owners.belong("a", ["resp_1", "msg_1", "resp_2"]) == {"resp_2": True}

    async def test_what_is_read_where_a_call_goes_on_is_known_of_the_object_and_of_its_parts(
        self, owners: ObjectOwners
    ) -> None:
        await owners.remember("a", ["resp_1", "msg_1"], "resp_1", context=SMALL)
        await owners.remember("a", ["resp_2", "msg_2"], "resp_2")
        for ids in (["resp_1"], ["msg_1"], ["resp_1", "msg_1"]):
            assert list(await owners.contexts(ids)) == [SMALL]
        assert list(await owners.contexts(["msg_2"])) == [None]
        assert list(await owners.contexts(["resp_unknown"])) == [None]
        assert {*await owners.contexts(["resp_1", "resp_2"])} == {SMALL, None}

    async def test_what_is_measured_takes_the_place_of_what_nobody_knew(self, owners: ObjectOwners) -> None:
        await owners.remember("a", ["resp_1", "msg_1"], "resp_1")
        await owners.measured("resp_1", LARGE)
        assert list(await owners.contexts(["msg_1"])) == [LARGE]

    async def test_many_at_once_are_all_remembered(self, owners: ObjectOwners) -> None:
        names = [f"resp_{number}" for number in range(200)]
        await asyncio.gather(*(owners.remember("a", [name], None) for name in names))
        await asyncio.gather(*(owners.forget(name) for name in names[:20]))
        assert await owners.belong("a", [*names, "resp_x"]) == dict.fromkeys(names[20:], True)

    async def test_none_of_it_holds_up_the_event_loop(self, owners: ObjectOwners) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.ensure_future(count())
        await owners.remember("a", [f"resp_{number}" for number in range(2000)], None)
        await owners.forget("resp_1")
        counting.cancel()
        assert turns > 1

    async def test_what_was_done_is_durable_when_it_returns(
        self, open_owners: OpensOwners, tmp_path: Path
    ) -> None:
        async with open_owners(tmp_path) as first:
            await first.remember("a", ["resp_1", "resp_2"], None, context=SMALL)
            await first.measured("resp_2", LARGE)
            await first.forget("resp_1")
            async with open_owners(tmp_path) as other:  # as after a crash: the first one has not closed
                assert await other.belong("a", ["resp_1", "resp_2"]) == {"resp_2": True}
        async with open_owners(tmp_path) as again:
            assert await again.belong("b", ["resp_2"]) == {"resp_2": False}
            assert list(await again.contexts(["resp_2"])) == [LARGE]

    async def test_where_the_memory_is_lost_nothing_may_be_named_or_made(
        self, open_owners: OpensOwners, tmp_path: Path
    ) -> None:
        async with open_owners(tmp_path) as owners:
            await owners.remember("a", ["resp_1"], None)
            self.lose(tmp_path)
            for asked in (
                owners.belong("b", ["resp_1"]),
                owners.remember("a", ["resp_2"], None),
                owners.measured("resp_1", SMALL),
                owners.contexts(["resp_1"]),
                owners.forget("resp_1"),
            ):
                with pytest.raises(BrokerError) as caught:
                    await asked
                assert caught.value.kind is Kind.AUDIT_UNAVAILABLE
                assert caught.value.remedy
