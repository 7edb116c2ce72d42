"""A candidate in processes of its own: they may end, and the candidate may change."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cli.policy.candidate import Candidate, CandidateQuestions
from broker.errors import BrokerError
from broker.ports import DecisionPoint
from broker.replay.recorded import Decision
from tests.replay.support import ALICE, BOB, policies, question, text


def _asked(subject: str) -> CandidateQuestions:
    return CandidateQuestions(DecisionPoint.CALLS, text(question(subject, "gpt-4o")))


def test_answers_keep_the_order_of_the_questions(tmp_path: Path) -> None:
    who = [ALICE if number % 3 else BOB for number in range(2000)]
    with Candidate(policies(tmp_path / "p", models={"gpt-4o": [ALICE]})) as candidate:
        judged = list(candidate.judge((number, _asked(each)) for number, each in enumerate(who)))
    assert [number for number, _ in judged] == list(range(2000))
    assert [decision for _, decision in judged] == [
        Decision(True, "known") if each == ALICE else Decision(False, "stranger") for each in who
    ]


@pytest.mark.parametrize("recorded", ["", "[]", "{"])
def test_an_input_that_is_none_is_not_evaluated(tmp_path: Path, recorded: str) -> None:
    with Candidate(policies(tmp_path / "p", models={})) as candidate:
        ((_, decision),) = candidate.judge([(0, CandidateQuestions(DecisionPoint.CALLS, recorded))])
    assert isinstance(decision, str)
    assert "not" in decision


def test_an_engine_that_aborts_leaves_a_message(tmp_path: Path) -> None:
    with Candidate(policies(tmp_path / "p", models={})) as candidate:
        assert candidate.version.sha256

        def questions() -> Iterator[tuple[int, CandidateQuestions]]:
            for process in list(candidate._pool._processes):
                os.kill(process, signal.SIGABRT)
            yield 0, _asked(ALICE)

        with pytest.raises(BrokerError, match="engine aborted"):
            list(candidate.judge(questions()))


def test_a_candidate_that_changes_meanwhile_is_not_compared(tmp_path: Path) -> None:
    directory = policies(tmp_path / "p", models={})
    with Candidate(directory) as candidate:
        candidate._version = type(candidate.version)("another", "0" * 64)
        with pytest.raises(BrokerError, match="changed on disk"):
            list(candidate.judge([(0, _asked(ALICE))]))
