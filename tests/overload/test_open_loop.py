"""Calls that arrive however long others take: what is served waits few turns of the loop, at any rate."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from random import Random

from tests.overload.requests import Asked, Shedding
from tests.sizes import sized

SETTLING = 1000
"""Turns until overload is told from a burst."""
QUIET_RATE = 0.02


@dataclass
class Waits:
    """How many turns the calls of both waited that were begun, and how often the quiet one was refused."""

    noisy: list[int]
    quiet: list[int]
    refused: int

    @staticmethod
    def p99(turns: list[int]) -> int:
        return sorted(turns)[math.ceil(len(turns) * 0.99) - 1]


def poisson(mean: float, chance: Random) -> int:
    """How many arrive in one turn (Knuth)."""
    number, product, least = 0, chance.random(), math.exp(-mean)
    while product > least:
        number, product = number + 1, product * chance.random()
    return number


async def offered(rate: float, turns: int) -> Waits:
    """So many calls of a noisy caller in each turn, and a few of a quiet one."""
    scene, chance = Shedding(), Random(14)  # noqa: S311 - arrivals, not secrets
    calls: dict[str, list[Asked]] = {"noisy": [], "quiet": []}
    for turn in range(SETTLING + turns):
        for who, mean in (("noisy", rate), ("quiet", QUIET_RATE)):
            for _ in range(poisson(mean, chance)):
                asked = scene.send(who, brief=True)
                if turn >= SETTLING:
                    calls[who].append(asked)
        scene.turn = turn + 1
        await asyncio.sleep(0)
    noisy, quiet = ([each.waited for each in calls[who] if each.waited is not None] for who in calls)
    return Waits(noisy, quiet, sum(asked.refusal is not None for asked in calls["quiet"]))


async def test_what_is_served_in_overload_waits_no_longer_than_below_it() -> None:
    turns = sized(10_000, 60_000)
    below, twice, fivefold = [await offered(rate, turns) for rate in (0.8, 2.0, 5.0)]
    assert below.refused == twice.refused == fivefold.refused == 0
    for overload in (twice, fivefold):
        assert len(overload.noisy) + len(overload.quiet) > turns * 0.95  # a turn that begins nothing is lost
        assert Waits.p99(overload.noisy) <= 2 * Waits.p99(below.noisy)
        assert Waits.p99(overload.quiet) <= 4
