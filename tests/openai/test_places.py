"""Whose turn it is where no more calls may be under way."""

from __future__ import annotations

import asyncio

import pytest

from broker.adapters.openai.slots import ConnectionSlots


async def test_who_has_waited_longest_goes_first() -> None:
    places = ConnectionSlots(1)
    assert places.take()
    assert not places.take()
    order: list[int] = []

    async def wait(number: int) -> None:
        await places.wait(5)
        order.append(number)
        places.give()

    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    places.give()
    assert not places.take(), "it belongs to who waits"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert places.take()


async def test_who_waits_no_longer_takes_none() -> None:
    places = ConnectionSlots(1)
    places.take()
    with pytest.raises(TimeoutError):
        await places.wait(0.01)
    places.give()
    assert places.take()


async def test_one_that_comes_as_its_caller_leaves_is_given_on() -> None:
    places = ConnectionSlots(1)
    places.take()
    leaving, staying = (asyncio.create_task(places.wait(5)) for _ in range(2))
    await asyncio.sleep(0)
    places.give()
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    places.give()
    assert places.take()
