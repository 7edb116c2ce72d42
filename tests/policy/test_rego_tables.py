"""The tables of `policies/*_test.rego`, decided by the embedded engine and read by the strict parsers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.model.answers import parse_admin_decision, parse_call_decision, parse_token_decision
from broker.model.decision import AdminDecision, CallDecision, PolicyVersion, TokenDecision
from broker.ports import DecisionPoint
from tests.policy.engines import TABLES, cases, ordered

_Parser = Callable[[object, PolicyVersion], TokenDecision | CallDecision | AdminDecision]
_PARSERS: dict[str, _Parser] = {
    "tokens": parse_token_decision,
    "calls": parse_call_decision,
    "admin": parse_admin_decision,
}
_ALL = [(table, name, case) for table in TABLES for name, case in cases(table).items()]


@pytest.mark.parametrize(("table", "name", "case"), _ALL, ids=[f"{table}: {name}" for table, name, _ in _ALL])
async def test_case(
    authorizer: EmbeddedAuthorizer, table: str, name: str, case: Mapping[str, object]
) -> None:
    document, point = case["input"], TABLES[table]
    assert isinstance(document, dict)
    verdict = await authorizer.evaluate(DecisionPoint(point), document)
    decision = _PARSERS[point](verdict.result, verdict.policy)
    assert decision.rule == case["rule"]
    assert decision.allow is (case["rule"] in ("granted", "break_glass"))
    assert isinstance(verdict.result, dict)
    said = verdict.result["grant"] if "grant" in case else verdict.result
    expected = case.get("grant", case.get("expect", {}))
    assert isinstance(expected, dict)
    assert {field: ordered(said[field]) for field in expected} == ordered(expected)
    if "changes" in case:
        assert ordered(verdict.result["changes"]) == ordered(case["changes"])


_EXPLAINED = cases("calls_explanation")


@pytest.mark.parametrize("name", _EXPLAINED)
async def test_explanation(authorizer: EmbeddedAuthorizer, name: str) -> None:
    case = _EXPLAINED[name]
    document = case["input"]
    assert isinstance(document, dict)
    said = (await authorizer.explain(DecisionPoint.CALLS, document)).result
    assert isinstance(said, dict)
    assert (said["role"], said["team"]) == (case["role"], case["team"])
    assert [each["rule"] for each in said["conditions"] if not each["holds"]] == case["failed"]
