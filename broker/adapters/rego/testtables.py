"""The tables of `*_test.rego`: what policy is asked, and what it must answer.

Knows: the convention that `policies/README.md` describes, and how the embedded engine works a table out. Must
not know: how an answer is judged. rego-cpp cannot compile `with` over rules that use others, so the rules
that say `with` are OPA's alone; the tables are for both engines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from broker.adapters.rego.dialect import code_of
from broker.adapters.rego.engine import Engine, EngineError
from broker.adapters.rego.source import Module, unusable
from broker.adapters.rego.statements import Statement, keeping
from broker.ports import DecisionPoint

_PACKAGE = re.compile(r"^package\s+broker\.((\w+?)_test)\s*$", re.MULTILINE)
_TABLE = re.compile(r"^cases\s*:=", re.MULTILINE)
_KEYS = {
    "decision": {"input", "rule", "expect", "grant", "changes"},
    "explanation": {"input", "role", "team", "failed"},
}
_REMEDY = "See `policies/README.md`, Test: a table is an object of cases, each with `input` and `rule`."


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a table: where it stands, what is asked at which point, and what is expected by field.
    `explains` says that the explanation is meant, not the decision.
    """

    file: str
    line: int
    name: str
    point: DecisionPoint
    document: dict[str, object] = field(repr=False)
    expected: Mapping[str, object] = field(repr=False)

    @property
    def explains(self) -> bool:
        """Whether the table is about `explanation`."""
        return "failed" in self.expected


def read_cases(tests: Sequence[Module]) -> Iterator[Case]:
    """Every case of every table. Raises POLICY_ENGINE_UNAVAILABLE, naming the file, for what is no table."""
    named = {found[1]: module for module in tests if (found := _PACKAGE.search(code_of(module)))}
    for package, module in named.items():
        if not _TABLE.search(code_of(module)):
            continue
        point = _point(package.removesuffix("_test"))
        for name, case in _worked_out(module, package, named).items():
            yield _case(module, name, point, case)


def _point(name: str) -> DecisionPoint:
    """The decision point that a package is named after; parts and rules of a call are asked at `calls`."""
    return DecisionPoint(name) if name in tuple(DecisionPoint) else DecisionPoint.CALLS


def _worked_out(module: Module, package: str, named: Mapping[str, Module]) -> Mapping[str, object]:
    texts = {each.name: _asked_alone(each) for each in _with_imported(module, named)}
    entrypoint = f"broker/{package}/cases"
    try:
        table = Engine(texts, {}, [entrypoint]).evaluate(entrypoint, {})
    except EngineError:
        table = None
    if not isinstance(table, dict):
        raise unusable(f"{module.name}: the embedded engine cannot work out `cases`.", _REMEDY)
    return table


def _with_imported(module: Module, named: Mapping[str, Module]) -> list[Module]:
    """The module, and the test modules that it imports: nothing else may be given to rego-cpp, which dies of
    two modules that import what is not there.
    """
    found = {module.name: module}
    waiting = [module]
    while waiting:
        text = waiting.pop().text
        for other in (named[name] for name in named if re.search(rf"\bdata\.broker\.{name}\b", text)):
            if other.name not in found:
                found[other.name] = other
                waiting.append(other)
    return [*found.values()]


def _asked_alone(module: Module) -> str:
    """The module without its test rules, without what says `with`, and without imports nobody needs then.

    >>> text = "package broker.x_test\\nimport data.broker.x\\ntest_a if x.y with input as 1\\ncases := {}\\n"
    >>> _asked_alone(Module("x_test.rego", text)).split()
    ['package', 'broker.x_test', 'cases', ':=', '{}']
    """
    return keeping(module, _is_data).text


def _is_data(statement: Statement) -> bool:
    return not statement.head.startswith("test_") and re.search(r"\bwith\b", statement.code) is None


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
    return Case(module.name, line, name, point, document, {k: v for k, v in case.items() if k != "input"})


def _line_of(module: Module, name: str) -> int:
    """Where the case stands; 1 where its name is worked out."""
    return module.text.count("\n", 0, max(0, module.text.find(f'"{name}":'))) + 1
