"""Do policies hold what their own tests say, read as strictly as a live answer is.

Knows: tables and answers. Must not know: who wants to know it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from broker.adapters.policyfiles.dialect import code_of
from broker.adapters.policyfiles.source import (
    Module,
    PolicySource,
    read_policies,
    read_tests,
    shipped_policies,
)
from broker.adapters.rego.authorizer import EmbeddedAuthorizer
from broker.adapters.rego.proof import already
from broker.adapters.rego.table_cases import Basis, Case, basis_of, read_cases, read_fixture
from broker.errors import BrokerError
from broker.model.explanation import parse_explanation
from broker.ports import Evaluation
from broker.replay.decision import read_decision
from broker.replay.recorded import Decision

_OWN = re.compile(r"^package\s+broker\.own\s*$", re.MULTILINE)
_ALLOWING = ("granted", "break_glass")
"""The rules that allow; every other one denies."""


@dataclass(frozen=True, slots=True)
class TableFailure:
    """A case whose answer is not as its table says."""

    file: str
    line: int
    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: `{self.name}`: {self.why}"


class _Judges:
    """The engine that each kind of table is judged by; made when the first table of the kind is."""

    def __init__(
        self, authorizer: EmbeddedAuthorizer, source: PolicySource, fixture: dict[str, object] | None
    ) -> None:
        self._data = authorizer
        self._source = source
        self._fixture = fixture

    def of(self, basis: Basis) -> EmbeddedAuthorizer:
        """Raises POLICY_ENGINE_UNAVAILABLE where the rules cannot be used with the fixture."""
        if basis is Basis.DATA or self._fixture is None:
            return self._data
        return self._own if basis is Basis.OWN else self._shipped

    @cached_property
    def _own(self) -> EmbeddedAuthorizer:
        return self._judging(self._source)

    @cached_property
    def _shipped(self) -> EmbeddedAuthorizer:
        shipped = tuple(module for module in self._source.modules if not _OWN.search(code_of(module)))
        if shipped == self._source.modules:
            return self._own
        return self._judging(replace(self._source, modules=shipped))

    def _judging(self, source: PolicySource) -> EmbeddedAuthorizer:
        base = {**source.base, **(self._fixture or {})}
        known = already(self._data.proof)  # of these policies, or of more rules than these
        return EmbeddedAuthorizer(replace(source, base=base, data_files=(), twice=()), known)


def as_released(policies: Path) -> bool:
    """Whether the folder's shipped rules and their tables are, byte by byte, those that the broker came with.
    Raises POLICY_ENGINE_UNAVAILABLE where they cannot be read.
    """
    return _shipped_files(policies) == _shipped_files(shipped_policies())


def has_own_rules(policies: Path) -> bool:
    """Whether any rule of the folder is not the release's. Raises as `as_released` does."""
    return read_policies(policies).modules != read_policies(shipped_policies()).modules


def _shipped_files(policies: Path) -> set[Module]:
    modules = (*read_policies(policies).modules, *read_tests(policies))
    return {
        each for each in modules if basis_of(each.name) is Basis.SHIPPED and not each.name.startswith("own/")
    }


async def run_tables(
    authorizer: EmbeddedAuthorizer, policies: Path, wanted: Collection[Basis] = tuple(Basis)
) -> tuple[int, tuple[TableFailure, ...]]:
    """How many cases the tables of the folder have, of the kinds that are wanted, and those that fail. Raises
    POLICY_ENGINE_UNAVAILABLE for what is no table.
    """
    tests = read_tests(policies)
    cases = list(read_cases(tests, wanted))
    judges = _Judges(authorizer, read_policies(policies), read_fixture(tests))
    judged = [(case, await _judged(judges.of(case.basis), case)) for case in cases]
    return len(cases), tuple(
        TableFailure(case.file, case.line, case.name, why) for case, why in judged if why
    )


async def _judged(authorizer: EmbeddedAuthorizer, case: Case) -> str:
    """What is wrong, or an empty string."""
    try:
        if case.explains:
            return _explained(case, await authorizer.explain(case.point, case.document))
        verdict = await authorizer.evaluate(case.point, case.document)
        decision = read_decision(case.point, verdict, case.document)
    except BrokerError as error:
        return error.message
    return _decided(case, decision, _object(verdict.result))


def _decided(case: Case, decision: Decision, result: Mapping[str, object]) -> str:
    expected = case.expected
    if decision.rule != expected["rule"]:
        return f"`{decision.rule}` decided, expected was `{expected['rule']}`."
    allowing = expected["rule"] in _ALLOWING
    if decision.allow is not allowing:
        return f"`{decision.rule}` does not {'allow' if allowing else 'deny'}."
    told = {name: expected[name] for name in ("changes",) if name in expected}
    return _different(result, {**told, **_object(expected.get("expect"))}) or _different(
        _object(result.get("grant")), _object(expected.get("grant"))
    )


def _explained(case: Case, verdict: Evaluation) -> str:
    conditions, role, team = parse_explanation(case.point.value, verdict.result)
    failed = [condition.rule for condition in conditions if not condition.holds]
    return _different({"role": role, "team": team, "failed": failed}, case.expected)


def _different(said: Mapping[str, object], expected: Mapping[str, object]) -> str:
    """The first field that is not as expected. Sets come in the order of the engine."""
    for name, value in expected.items():
        if name not in said:
            return f"the answer has no `{name}`."
        if _ordered(said[name]) != _ordered(value):
            return f"`{name}` is {_brief(said[name])}, expected was {_brief(value)}."
    return ""


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - a line or two of a terminal


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: _ordered(child) for key, child in value.items()}
    if isinstance(value, list):
        return sorted((_ordered(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def first_of(failures: Sequence[TableFailure]) -> str:
    """The failures in one sentence."""
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return f"{failures[0]}{more}"
