"""Decisions are kept only where the policy says so, and never longer than they are true."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.decision_cache import KEPT, CachingAuthorizer
from broker.identity.revocation import RevocationSet
from broker.ports import DecisionPoint
from tests.call.fakes import SECOND, CountingEngine, HandClock
from tests.sizes import sized

CALLS = DecisionPoint.CALLS
QUESTION: dict[str, object] = {"v": 1, "subject": {"id": "a"}, "cache_for": 10, "now_ns": 1}


class Kept:
    """A caching authorizer and everything it stands on."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.engine = CountingEngine()
        self.revocations = RevocationSet()
        self.authorizer = CachingAuthorizer(self.engine, self.revocations, self.clock)

    async def ask(self, **changed: object) -> object:
        return (await self.authorizer.evaluate(CALLS, {**QUESTION, **changed})).result


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_an_equal_question_is_answered_once_until_its_time_is_over(kept: Kept) -> None:
    await kept.ask()
    await kept.ask(now_ns=2)
    assert kept.engine.asked == 1
    kept.clock.ns += 10 * 10**9
    await kept.ask()
    assert kept.engine.asked == 2


@pytest.mark.parametrize("said", [None, 0, -1, True, 1.5, "10", [10]])
async def test_nothing_is_kept_unless_the_policy_says_how_long(kept: Kept, said: object) -> None:
    await kept.ask(cache_for=said)
    await kept.ask(cache_for=said)
    assert kept.engine.asked == 2


async def test_a_new_policy_version_forgets_everything(kept: Kept) -> None:
    await kept.ask()
    kept.engine.version = SECOND
    assert (await kept.authorizer.evaluate(CALLS, dict(QUESTION))).policy == SECOND


async def test_a_revocation_forgets_everything(kept: Kept) -> None:
    await kept.ask()
    kept.revocations.revoke_token("tok_1", 2**40)
    await kept.ask()
    assert kept.engine.asked == 2


async def test_an_answer_that_a_revocation_overtook_is_not_kept(kept: Kept) -> None:
    kept.engine.hold = asyncio.Event()
    asking = asyncio.create_task(kept.ask())
    await asyncio.sleep(0)
    kept.revocations.revoke_token("tok_1", 2**40)
    kept.engine.hold.set()
    await asking
    await kept.ask()
    assert kept.engine.asked == 2


async def test_points_do_not_share_answers(kept: Kept) -> None:
    await kept.ask()
    answer = (await kept.authorizer.evaluate(DecisionPoint.ADMIN, dict(QUESTION))).result
    assert isinstance(answer, dict)
    assert answer["point"] == "admin"


async def test_what_is_kept_is_bounded(kept: Kept) -> None:
    for number in range(KEPT + 10):
        await kept.ask(v=number)
    assert len(kept.authorizer._kept) <= KEPT


PARTS = st.fixed_dictionaries(
    {
        "v": st.integers(0, 2),
        "subject": st.sampled_from([{"id": "a"}, {"id": "b"}, {"id": "a", "tenant": "x"}]),
        "cache_for": st.sampled_from([None, 0, 1, 3]),
        "now_ns": st.integers(),
    }
)
STEPS = st.lists(
    st.one_of(PARTS, st.sampled_from(["policy", "revoke", "second"])),
    min_size=5,
    max_size=40,
)


@settings(max_examples=sized(200))
@given(STEPS)
def test_decisions_with_and_without_the_cache_are_equal(steps: list[object]) -> None:
    asyncio.run(_equal(steps))


async def _equal(steps: list[object]) -> None:
    kept = Kept()
    for step in steps:
        if isinstance(step, dict):
            mine = await kept.authorizer.evaluate(CALLS, step)
            bare = await CountingEngine(kept.engine.version).evaluate(CALLS, step)
            assert (mine.result, mine.policy) == (bare.result, bare.policy)
        elif step == "policy":
            kept.engine.version = SECOND if kept.engine.version != SECOND else CountingEngine().version
        elif step == "revoke":
            kept.revocations.revoke_token("tok", 2**40)
        else:
            kept.clock.ns += 10**9
