"""The tables of `policies/*_test.rego`, decided by the embedded engine and read by the strict parsers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.engine import Engine
from broker.adapters.rego.source import read_policies
from broker.model.answers import parse_admin_decision, parse_call_decision, parse_token_decision
from broker.model.decision import AdminDecision, CallDecision, PolicyVersion, TokenDecision
from broker.ports import DecisionPoint
from tests.policy.engines import POINTS, POLICIES, cases

_Parser = Callable[[object, PolicyVersion], TokenDecision | CallDecision | AdminDecision]
_PARSERS: dict[str, _Parser] = {
    "tokens": parse_token_decision,
    "calls": parse_call_decision,
    "admin": parse_admin_decision,
}
_ALL = [(point, name, case) for point in POINTS for name, case in cases(point).items()]
_PLAIN = re.findall(r"^(test_\w+)", (POLICIES / "grants_test.rego").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("point", "name", "case"), _ALL, ids=[f"{point}: {name}" for point, name, _ in _ALL])
async def test_case(
    authorizer: EmbeddedAuthorizer, point: str, name: str, case: Mapping[str, object]
) -> None:
    document = case["input"]
    assert isinstance(document, dict)
    verdict = await authorizer.evaluate(DecisionPoint(point), document)
    decision = _PARSERS[point](verdict.result, verdict.policy)
    assert decision.rule == case["rule"]
    assert decision.allow is (case["rule"] == "granted")
    assert isinstance(verdict.result, dict)
    said = verdict.result["grant"] if "grant" in case else verdict.result
    expected = case.get("grant", case.get("expect", {}))
    assert isinstance(expected, dict)
    assert {field: _ordered(said[field]) for field in expected} == {
        k: _ordered(v) for k, v in expected.items()
    }


def _ordered(value: object) -> object:
    """Sets become arrays in the order of the engine."""
    return sorted(value) if isinstance(value, list) else value


def test_the_tests_of_grants() -> None:
    source = read_policies(POLICIES)
    modules = {module.name: module.text for module in source.modules}
    modules["grants_test.rego"] = (POLICIES / "grants_test.rego").read_text()
    entrypoints = {name: f"broker/grants_test/{name}" for name in _PLAIN}
    engine = Engine(modules, source.base, list(entrypoints.values()))
    assert len(entrypoints) > 10
    assert [name for name, path in entrypoints.items() if engine.evaluate(path, {}) is not True] == []
