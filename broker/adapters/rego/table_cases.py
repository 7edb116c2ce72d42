"""The tables of `*_test.rego`: what policy is asked, and what it must answer.

Knows: the convention that `policies/README.md` describes, and how the embedded engine works a table out. Must
not know: how an answer is judged. rego-cpp cannot compile `with` over rules that use others, so the rules
that say `with` are OPA's alone; the tables are for both engines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from broker.adapters.policyfiles.dialect import code_of
from broker.adapters.policyfiles.slicing import reached
from broker.adapters.policyfiles.source import Module, unusable
from broker.adapters.policyfiles.statements import statements
from broker.adapters.rego.engine import Engine, EngineError
from broker.ports import DecisionPoint

_PACKAGE = re.compile(r"^package\s+broker\.((\w+?)_test)\s*$", re.MULTILINE)
_FIXTURE = "fixture_test"
_TABLE = re.compile(r"^cases\s*:=", re.MULTILINE)
_KEYS = {
    "decision": {"input", "rule", "expect", "grant", "changes"},
    "explanation": {"input", "role", "team", "failed"},
}
_PLAIN = "Write each of its names as a plain JSON value, as `data.json` has it."
_REMEDY = "See `policies/README.md`, Test: a table is an object of cases, each with `input` and `rule`."


class Basis(Enum):
    """What a table is judged with, as the name of its file tells. Shipped rules hold whatever a company
    grants and forbids, so their tables know neither.
    """

    SHIPPED = "the shipped rules, with the fixture for data"
    OWN = "all rules, with the fixture for data"
    DATA = "all rules, with the folder's data"


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a table: where it stands, what is asked at which point, what it is judged with, and what is
    expected by field. `explains` says that the explanation is meant, not the decision.
    """

    file: str
    line: int
    name: str
    point: DecisionPoint
    basis: Basis
    document: dict[str, object] = field(repr=False)
    expected: Mapping[str, object] = field(repr=False)

    @property
    def explains(self) -> bool:
        """Whether the table is about `explanation`."""
        return "failed" in self.expected


def read_cases(tests: Sequence[Module], wanted: Collection[Basis] = tuple(Basis)) -> Iterator[Case]:
    """Every case of every table that is judged with what is wanted. Raises POLICY_ENGINE_UNAVAILABLE, naming
    the file, for what is no table.
    """
    named = _by_package(tests)
    for package, module in named.items():
        if basis_of(module.name) not in wanted or not _TABLE.search(code_of(module)):
            continue
        point = _point(package.removesuffix("_test").removesuffix("_data"))
        for name, case in _worked_out(module, package, named).items():
            yield _case(module, name, point, case)


def read_fixture(tests: Sequence[Module]) -> dict[str, object] | None:
    """The data of `package broker.fixture_test`; None where there is none, and every table is judged with the
    folder's data. Raises POLICY_ENGINE_UNAVAILABLE where it cannot be worked out.
    """
    module = _by_package(tests).get(_FIXTURE)
    if module is None:
        return None
    names = {each.head for each in statements(module)} - {"package", "import"}
    points = {name: f"broker/{_FIXTURE}/{name}" for name in sorted(names)}
    try:
        engine = Engine({module.name: module.text}, {}, [*points.values()])
        return {name: engine.evaluate(point, {}) for name, point in points.items()}
    except EngineError:
        raise unusable(f"{module.name}: the embedded engine cannot work it out.", _PLAIN) from None


def _by_package(tests: Sequence[Module]) -> dict[str, Module]:
    return {found[1]: module for module in tests if (found := _PACKAGE.search(code_of(module)))}


def basis_of(file: str) -> Basis:
    """What the tables of a file are judged with.

    >>> [basis_of(file).name for file in ("calls_test.rego", "own/a_test.rego", "own/a_data_test.rego")]
    ['SHIPPED', 'OWN', 'DATA']
    """
    if file.endswith("_data_test.rego"):
        return Basis.DATA
    return Basis.OWN if file.startswith("own/") else Basis.SHIPPED


def _point(name: str) -> DecisionPoint:
    """The decision point that a package is named after; parts and rules of a call are asked at `calls`."""
    return DecisionPoint(name) if name in tuple(DecisionPoint) else DecisionPoint.CALLS


def _worked_out(module: Module, package: str, named: Mapping[str, Module]) -> Mapping[str, object]:
    needed = reached([*named.values()], f"broker.{package}", "cases")  # and no rule that says `with`
    texts = {each.name: each.text for each in needed}
    entrypoint = f"broker/{package}/cases"
    try:
        table = Engine(texts, {}, [entrypoint]).evaluate(entrypoint, {})
    except EngineError:
        table = None
    if not isinstance(table, dict):
        raise unusable(f"{module.name}: the embedded engine cannot work out `cases`.", _REMEDY)
    return table


def _case(module: Module, name: str, point: DecisionPoint, case: object) -> Case:
    line = _line_of(module, name)
    if not isinstance(case, dict) or not isinstance(case.get("input"), dict):
        raise unusable(f"{module.name}:{line}: the case `{name}` has no `input` that is an object.", _REMEDY)
    kind = "explanation" if "failed" in case else "decision"
    unknown = sorted(case.keys() - _KEYS[kind])
    if unknown or (kind == "decision" and not isinstance(case.get("rule"), str)):
        what = f"has the unknown key `{unknown[0]}`" if unknown else "does not say which `rule` decides"
        raise unusable(f"{module.name}:{line}: the case `{name}` {what}.", _REMEDY)
    document = case["input"]
    expected = {key: value for key, value in case.items() if key != "input"}
    return Case(module.name, line, name, point, basis_of(module.name), document, expected)


def _line_of(module: Module, name: str) -> int:
    """Where the case stands; 1 where its name is worked out."""
    return module.text.count("\n", 0, max(0, module.text.find(f'"{name}":'))) + 1
