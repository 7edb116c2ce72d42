"""Places and turns that subjects share: bounds are never passed, and nobody starves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.listeners.fair_queue import FairQueue, FairShare
from tests.sizes import sized

SUBJECTS = st.sampled_from("abcde")


def anybody(_subject: str) -> bool:
    return True


@settings(max_examples=sized(200))
@given(st.integers(2, 40), st.lists(st.tuples(SUBJECTS, st.booleans()), max_size=200))
def test_no_more_is_taken_than_there_is_and_whoever_holds_nothing_finds_a_place(
    most: int, steps: list[tuple[str, bool]]
) -> None:
    share, held = FairShare(most), Counter[str]()
    for subject, gives in steps:
        if gives and held[subject]:
            share.give(subject)
            held[subject] -= 1
        elif not gives:
            free = most - held.total()
            assert share.take(subject) is (held[subject] < free)
            held[subject] = held[subject] + (held[subject] < free)
        assert share.taken == held.total() <= most


def test_one_subject_alone_gets_half_and_two_a_third_each() -> None:
    share = FairShare(90)
    assert sum(share.take("noisy") for _ in range(1000)) == 45
    share = FairShare(90)
    got = Counter(who for _ in range(1000) for who in ("noisy", "loud") if share.take(who))
    assert got == {"noisy": 30, "loud": 30}
    assert share.take("quiet")


@settings(max_examples=sized(100))
@given(st.dictionaries(SUBJECTS, st.integers(1, 30), min_size=1), st.booleans())
def test_subjects_that_wait_get_what_is_theirs_within_one(waiting: dict[str, int], newest: bool) -> None:
    queue: FairQueue[str] = FairQueue(1000)
    for subject, number in waiting.items():
        for _ in range(number):
            assert queue.put(subject, subject)
    got, left = Counter[str](), Counter(waiting)
    for taken in range(1, 1 + min(waiting.values()) * len(waiting)):
        whose = queue.take(anybody, newest=newest)
        assert whose is not None
        got[whose] += 1
        left[whose] -= 1
        assert all(abs(got[each] - taken / len(waiting)) < 1 for each in waiting)
    assert len(queue) == left.total()
    assert all(queue.waiting(subject) == number for subject, number in left.items())


@settings(max_examples=sized(100))
@given(st.lists(st.tuples(SUBJECTS, st.sampled_from(["put", "first", "last", "drop"])), max_size=150))
def test_a_queue_keeps_the_order_of_each_subject(steps: list[tuple[str, str]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(30)
    model: dict[str, list[int]] = {}
    for number, (subject, step) in enumerate(steps):
        if step == "put":
            if queue.put(subject, (subject, number)):
                model.setdefault(subject, []).append(number)
        elif step == "drop":
            if model.get(subject):
                assert queue.drop(subject) == (subject, model[subject].pop(0))
        else:
            taken = queue.take(anybody, newest=step == "last")
            assert (taken is None) is not any(model.values())
            if taken is not None:
                assert taken[1] == model[taken[0]].pop(-1 if step == "last" else 0)
        assert len(queue) == sum(map(len, model.values())) <= 30
        assert queue.subjects == sum(map(bool, model.values()))


def test_who_may_not_is_passed_over_and_keeps_its_turn() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "b1", "a2"):
        queue.put(item[0], item)
    assert queue.take(lambda subject: subject != "a", newest=False) == "b1"
    assert queue.take(lambda subject: subject != "a", newest=False) is None
    queue.put("b", "b2")
    assert queue.take(anybody, newest=False) == "a1"
