"""A candidate policy set, evaluated in processes of its own.

Knows: the embedded engine and processes. Must not know: what is asked, or what follows from the answers. The
engine is C++: where it aborts, a process ends, and what there is to say must outlive it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import orjson

from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import prove
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion
from broker.ports import Authorizer, DecisionPoint
from broker.replay.decision import read_decision
from broker.replay.recorded import Decision

_MOST_PROCESSES = 4  # each holds the whole candidate
_CHUNK = 256  # questions that go to a process together
_CHUNKS_AHEAD = 3  # for each process
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CandidateQuestions:
    """One question: an input document, as the JSON text that a record holds."""

    point: DecisionPoint
    policy_input: str


@dataclass(frozen=True, slots=True)
class _EngineAnswers:
    """One answer for each question, in their order: a decision, or a sentence why there is none."""

    policy: PolicyVersion
    decisions: tuple[Decision | str, ...]


@dataclass(frozen=True, slots=True)
class _Unusable:
    message: str
    remedy: str


class Candidate:
    """The policies of one directory. A context manager; its processes end with it.

    Its methods raise BrokerError POLICY_ENGINE_UNAVAILABLE where the candidate cannot be loaded, changed
    on disk meanwhile, or made its engine abort.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes = min(_MOST_PROCESSES, os.cpu_count() or 1)
        self._pool = ProcessPoolExecutor(
            self._processes, get_context("spawn"), initializer=_leave_signals_alone
        )
        self._version: PolicyVersion | None = None

    @property
    def version(self) -> PolicyVersion:
        """The policies; loads them, so that a mistake in them is told before anything is read."""
        if self._version is None:
            self._version = self._answers(self._submit(())).policy
        return self._version

    def __enter__(self) -> Candidate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def judge(
        self, questions: Iterable[tuple[_T, CandidateQuestions]]
    ) -> Iterator[tuple[_T, Decision | str]]:
        """Each question's own name and its decision, or a sentence why there is none; in order. Questions are
        taken as they are needed, so that whoever has them works beside the processes.
        """
        ahead: deque[tuple[list[_T], Future[_EngineAnswers | _Unusable]]] = deque()
        taken = iter(questions)
        while chunk := list(islice(taken, _CHUNK)):
            ahead.append(([name for name, _ in chunk], self._submit(tuple(asked for _, asked in chunk))))
            if len(ahead) > self._processes * _CHUNKS_AHEAD:
                names, asked = ahead.popleft()
                yield from zip(names, self._answers(asked).decisions, strict=True)
        for names, asked in ahead:
            yield from zip(names, self._answers(asked).decisions, strict=True)

    def _submit(self, questions: tuple[CandidateQuestions, ...]) -> Future[_EngineAnswers | _Unusable]:
        try:
            return self._pool.submit(_evaluate, self._directory, questions)
        except BrokenProcessPool:
            raise _aborted() from None

    def _answers(self, asked: Future[_EngineAnswers | _Unusable]) -> _EngineAnswers:
        try:
            answers = asked.result()
        except BrokenProcessPool:
            raise _aborted() from None
        if isinstance(answers, _Unusable):
            raise BrokerError(Kind.POLICY_ENGINE_UNAVAILABLE, answers.message, remedy=answers.remedy)
        if self._version is not None and answers.policy != self._version:
            raise BrokerError(
                Kind.POLICY_ENGINE_UNAVAILABLE,
                "The candidate changed on disk while it was evaluated.",
                remedy="Leave it alone until the command is done, then run it again.",
            )
        return answers


def _aborted() -> BrokerError:
    return BrokerError(
        Kind.POLICY_ENGINE_UNAVAILABLE,
        "The process that evaluated the candidate ended: its engine aborted, or somebody killed it.",
        remedy="Run the candidate's tests, and see what the engine printed above.",
    )


def _leave_signals_alone() -> None:
    """Ctrl-C is for the command, which then ends its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=1)
def _load(directory: Path) -> Authorizer:
    """Once a process: this one is there to be ended by policies."""
    return EmbeddedAuthorizer(directory, prove)


def _evaluate(directory: Path, questions: Sequence[CandidateQuestions]) -> _EngineAnswers | _Unusable:
    """Runs in a process of the pool. What is wrong with the candidate is an answer: errors do not travel."""
    try:
        candidate = _load(directory)
    except BrokerError as error:
        return _Unusable(error.message, error.remedy)
    return asyncio.run(_rule_all(candidate, questions))


async def _rule_all(candidate: Authorizer, questions: Sequence[CandidateQuestions]) -> _EngineAnswers:
    decisions = [await _rule(candidate, question) for question in questions]
    return _EngineAnswers(candidate.version, tuple(decisions))


async def _rule(candidate: Authorizer, question: CandidateQuestions) -> Decision | str:
    try:
        document = orjson.loads(question.policy_input)
    except orjson.JSONDecodeError:
        return "The recorded input is not JSON."
    if not isinstance(document, dict):
        return "The recorded input is not a JSON object."
    try:
        return read_decision(question.point, await candidate.evaluate(question.point, document), document)
    except BrokerError as error:
        return str(error)
