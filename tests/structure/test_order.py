"""The files that begin first are there."""

from __future__ import annotations

from pathlib import Path

from tests.order import LONGEST, turn

TESTS = Path(__file__).parents[1]


def test_every_file_that_begins_first_is_there_once() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len({*LONGEST}) == len(LONGEST)


def test_they_begin_before_all_others() -> None:
    turns = [turn(TESTS / name) for name in (*LONGEST, "structure/test_order.py")]
    assert turns == sorted({*turns})
