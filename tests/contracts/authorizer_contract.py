"""What every Authorizer and every Explainer must do, on policies that echo what they are asked."""

from __future__ import annotations

import asyncio
import copy
import time
from pathlib import Path
from typing import Protocol

import pytest

from broker.adapters.policyfiles.source import read_policies
from broker.errors import BrokerError, Kind
from broker.ports import Authorizer, DecisionPoint, Evaluation, Explainer
from tests.contracts.port_contract import PortContract

POINTS = list(DecisionPoint)
NOISE_SECONDS = 0.5  # that a busy machine may add
_RULES = """package broker.{point}

decision := {{"allow": false, "rule": "stranger"}} if input.subject.tenant == "nobody"

decision := {{"allow": false, "point": "{point}", "echo": input.echo}} if input.echo

decision := input.verbatim.answer if input.verbatim
"""
_EXPLAINED = """
explanation := {{"point": "{point}", "echo": input.echo}} if input.echo
"""


def write_policies(directory: Path) -> Path:
    """Policies that echo `echo`, answer `verbatim.answer` as it is, and decide nothing else. Those of
    `broker.admin` explain nothing.
    """
    directory.mkdir()
    for point in POINTS:
        explained = "" if point is DecisionPoint.ADMIN else _EXPLAINED
        (directory / f"{point.value}.rego").write_text((_RULES + explained).format(point=point.value))
    return directory


class EngineSetup(Protocol):
    """An engine on the policies of `write_policies`, which are in `policies`."""

    policies: Path

    @property
    def engine(self) -> object:
        """An Authorizer, an Explainer, or both."""


class DistantSetup(EngineSetup, Protocol):
    """An engine in another process."""

    deadline_seconds: float

    def stop(self) -> None:
        """The process stands still."""

    async def resume(self) -> None:
        """It goes on; returns once calls can be decided again."""


async def _refused(asked: object) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await asked  # type: ignore[misc]
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    assert caught.value.remedy
    return caught.value


class AuthorizerContract(PortContract):
    """Needs a fixture `rig`: EngineSetup."""

    port = Authorizer

    async def _ask(self, rig: EngineSetup, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        engine: Authorizer = rig.engine  # type: ignore[assignment]
        return await engine.evaluate(point, document)

    async def test_it_is_the_adapter_that_is_named(self, rig: EngineSetup) -> None:
        self.under_test(rig.engine)

    @pytest.mark.parametrize("point", POINTS)
    async def test_it_evaluates_the_decision_of_each_point(
        self, rig: EngineSetup, point: DecisionPoint
    ) -> None:
        asked: dict[str, object] = {"echo": {"é": ["x", 1, None], "big": 1795000000123456789}}
        found = await self._ask(rig, point, asked)
        assert found.result == {"allow": False, "point": point.value, "echo": asked["echo"]}

    @pytest.mark.parametrize("answer", ["perhaps", ["allow"], 1, True, {}, {"allow": "true"}, None, False])
    async def test_a_result_is_not_interpreted(self, rig: EngineSetup, answer: object) -> None:
        asked: dict[str, object] = {"verbatim": {"answer": answer}}
        assert (await self._ask(rig, DecisionPoint.CALLS, asked)).result == answer

    async def test_what_is_undefined_is_none(self, rig: EngineSetup) -> None:
        assert (await self._ask(rig, DecisionPoint.CALLS, {"other": 1})).result is None

    async def test_an_answer_names_the_policies_that_gave_it_and_the_version_tells_the_next(
        self, rig: EngineSetup
    ) -> None:
        engine: Authorizer = rig.engine  # type: ignore[assignment]
        found = await self._ask(rig, DecisionPoint.CALLS, {"echo": 1})
        assert found.policy == engine.version
        assert found.policy.sha256 == read_policies(rig.policies).version.sha256
        assert found.policy.revision

    async def test_many_at_once_do_not_mix(self, rig: EngineSetup) -> None:
        asked = [(point, number) for number in range(1, 8) for point in POINTS]
        found = await asyncio.gather(
            *(self._ask(rig, point, {"echo": f"n{number}"}) for point, number in asked)
        )
        assert [each.result for each in found] == [
            {"allow": False, "point": point.value, "echo": f"n{number}"} for point, number in asked
        ]

    async def test_nothing_is_kept_of_one_question_for_another(self, rig: EngineSetup) -> None:
        first, second = {"echo": "one"}, {"other": "two"}
        before = copy.deepcopy((first, second))
        answers = [(await self._ask(rig, DecisionPoint.CALLS, {**each})).result for each in (first, second)]
        again = [(await self._ask(rig, DecisionPoint.CALLS, {**each})).result for each in (second, first)]
        assert answers == again[::-1]
        assert answers[1] is None
        assert (first, second) == before

    async def test_what_cannot_be_decided_is_refused_and_keeps_no_other_question_from_an_answer(
        self, rig: EngineSetup
    ) -> None:
        for _ in range(10):
            await _refused(self._ask(rig, DecisionPoint.CALLS, {"echo": object()}))
        assert (await self._ask(rig, DecisionPoint.CALLS, {"echo": "x"})).result is not None


class ExplainerContract(PortContract):
    """Needs a fixture `rig`: EngineSetup."""

    port = Explainer

    async def _ask(self, rig: EngineSetup, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        engine: Explainer = rig.engine  # type: ignore[assignment]
        return await engine.explain(point, document)

    async def test_it_is_the_adapter_that_is_named(self, rig: EngineSetup) -> None:
        self.under_test(rig.engine)

    @pytest.mark.parametrize("point", [DecisionPoint.TOKENS, DecisionPoint.CALLS])
    async def test_it_evaluates_the_explanation_of_a_point(
        self, rig: EngineSetup, point: DecisionPoint
    ) -> None:
        found = await self._ask(rig, point, {"echo": ["x", None]})
        assert found.result == {"point": point.value, "echo": ["x", None]}
        assert found.policy.sha256 == read_policies(rig.policies).version.sha256

    async def test_where_policies_explain_nothing_it_is_none(self, rig: EngineSetup) -> None:
        assert (await self._ask(rig, DecisionPoint.ADMIN, {"echo": 1})).result is None
        assert (await self._ask(rig, DecisionPoint.CALLS, {"other": 1})).result is None

    async def test_many_at_once_do_not_mix(self, rig: EngineSetup) -> None:
        found = await asyncio.gather(
            *(self._ask(rig, DecisionPoint.CALLS, {"echo": f"n{number}"}) for number in range(1, 20))
        )
        assert [each.result for each in found] == [
            {"point": "calls", "echo": f"n{number}"} for number in range(1, 20)
        ]

    async def test_what_cannot_be_explained_is_refused_and_keeps_no_other_question_from_an_answer(
        self, rig: EngineSetup
    ) -> None:
        for _ in range(10):
            await _refused(self._ask(rig, DecisionPoint.CALLS, {"echo": object()}))
        assert (await self._ask(rig, DecisionPoint.CALLS, {"echo": "x"})).result is not None


class DistantEngineContract:
    """Beside one of the two: needs a fixture `rig`: DistantSetup."""

    async def _ask(self, rig: EngineSetup, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        raise NotImplementedError

    async def test_an_engine_that_is_away_is_refused_within_the_deadline(self, rig: DistantSetup) -> None:
        rig.stop()
        try:
            for _ in range(8):
                began = time.monotonic()
                error = await _refused(self._ask(rig, DecisionPoint.CALLS, {"echo": "x"}))
                assert time.monotonic() - began < rig.deadline_seconds + NOISE_SECONDS
                assert error.retry_after
        finally:
            await rig.resume()
        assert (await self._ask(rig, DecisionPoint.CALLS, {"echo": "x"})).result is not None
