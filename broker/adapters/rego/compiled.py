"""The rules of the decision points, compiled in one of three forms.

Knows: what each form gives an engine. Must not know: which form a policy may have (`proof` tells), what a
decision means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from math import isfinite

import orjson

from broker.adapters.policyfiles import dialect, patterns, slicing
from broker.adapters.policyfiles.source import Module, PolicySource, unusable
from broker.adapters.rego import holding, lookups
from broker.adapters.rego.engine import Engine, EngineError
from broker.adapters.rego.selection import LookedUp, Selection
from broker.ports import DecisionPoint

_PLACE = re.compile(r"\(error \d+:([^|\s]+)\|(\d+)\|\d+\s+\(errormsg \d+:([^\n]*)\)")
_LONGEST_ASKED = 256 * 1024  # bytes of a question: some 50 ms, after which no engine is waited for
_LONGEST_MATCHED = 8 * 1024  # bytes of a question whose texts meet a regular expression, which needs stack
DECISION, EXPLANATION = "decision", "explanation"
RULES = tuple((point, name) for point in DecisionPoint for name in (DECISION, EXPLANATION))


class RuleForm(Enum):
    """How policies are given to the engine, quickest first (adr/0062)."""

    SLICED = "sliced"
    """Each rule with what it can reach, the input cut to what is read, tables looked up beside the engine."""
    LOOKUPS = "whole, with tables looked up"
    """All rules and the whole input; tables that are used by key alone are looked up beside the engine."""
    WHOLE = "whole"
    """The policies as they were written, all data, the whole input. What the other forms must answer."""


class CompiledRule:
    """One rule of a decision point, as readings that are asked in turn: the first that is defined is its
    value.
    """

    def __init__(self, readings: Sequence[Reading]) -> None:
        self.readings = tuple(readings)

    def answer(self, document: Mapping[str, object]) -> object:
        """The rule's value, or None where it is undefined or there is none. Raises EngineError."""
        answers = (reading.answer(document) for reading in self.readings)
        return next((answer for answer in answers if answer is not None), None)


def compiled(source: PolicySource, form: RuleForm) -> dict[tuple[DecisionPoint, str], CompiledRule]:
    """Every decision and explanation. Raises POLICY_ENGINE_UNAVAILABLE, with file and line, where they do not
    compile.
    """
    if form is RuleForm.SLICED:
        return {(point, name): _sliced(source, point, name) for point, name in RULES}
    modules: Sequence[Module] = source.modules
    base, found = source.base, list[LookedUp]()
    if form is RuleForm.LOOKUPS:
        modules, base, found = _beside(modules, base)
    engine = compile_modules(modules, base, [_entrypoint(point, name) for point, name in RULES])
    everything, longest = Selection.everything(found), _longest(source.modules)
    return {
        (point, name): CompiledRule([Reading(engine, _entrypoint(point, name), everything, longest)])
        for point, name in RULES
    }


def _sliced(source: PolicySource, point: DecisionPoint, name: str) -> CompiledRule:
    """Compiled with what the rule can reach and nothing beside it. The first answer of its chain is compiled
    alone, too, where that needs less: most decisions are ordinary, and what they do not need would cost them
    as much again.
    """
    package = f"broker.{point.value}"
    chain = slicing.chain(source.modules, package, name)
    whole = slicing.reached(source.modules, package, name)
    first = slicing.reached(chain.first, package, name) if chain else whole
    parts = [whole]
    if chain and _size(first) * 2 < _size(whole):
        parts = [first, slicing.reached(chain.others, package, name)]
    return CompiledRule([_reading(part, source, _entrypoint(point, name)) for part in parts if part])


def _reading(reached: list[Module], source: PolicySource, entrypoint: str) -> Reading:
    rewritten, base, found = _beside(reached, slicing.mentioned(reached, source.base))
    engine = compile_modules(rewritten, base, [entrypoint])
    return Reading(engine, entrypoint, Selection(reached, found), _longest(reached))


def _beside(
    modules: Sequence[Module], base: Mapping[str, object]
) -> tuple[list[Module], dict[str, object], list[LookedUp]]:
    """With what is looked up and what is asked beside the engine."""
    asked, read, sets = holding.extract(modules, base)
    rewritten, kept, tables = lookups.extract(asked, read)
    return rewritten, kept, [*tables, *sets]


def _size(modules: Sequence[Module]) -> int:
    return sum(len(dialect.code_of(module).split()) for module in modules)


def _longest(modules: Sequence[Module]) -> int:
    return _LONGEST_MATCHED if patterns.uses_regex(modules) else _LONGEST_ASKED


def _entrypoint(point: DecisionPoint, name: str) -> str:
    return f"broker/{point.value}/{name}"


class Reading:
    """An engine, what it is asked, and what it is given of a document."""

    def __init__(self, engine: Engine, entrypoint: str, selection: Selection, longest: int) -> None:
        """`longest` is how many bytes of a selection may be worked on."""
        self._engine = engine
        self._entrypoint = entrypoint
        self._selection = selection
        self._longest = longest

    def answer(self, document: Mapping[str, object]) -> object:
        """The rule's value, or None. Raises EngineError, also where there is too much to read in time."""
        selected = self.selected(document)
        self.asked(selected)
        return self.worked_out(selected)

    def asked(self, selected: dict[str, object]) -> bytes:
        """What was selected as bytes that are equal only where it is. Raises EngineError, JSONEncodeError."""
        asked = orjson.dumps(selected, option=orjson.OPT_SORT_KEYS)
        if len(asked) > self._longest:
            raise EngineError("the input is too large to be decided in time")
        if b"null" in asked and not _finite(selected):
            raise EngineError("the input holds a number that is not finite")
        return asked

    def worked_out(self, selected: Mapping[str, object]) -> object:
        """The rule's value for what `selected` gave, or None. Raises EngineError."""
        return self._engine.evaluate(self._entrypoint, selected)

    def selected(self, document: Mapping[str, object]) -> dict[str, object]:
        """The parts of `document` that are read, and the looked-up entries."""
        return self._selection.of(document)


def compile_modules(
    modules: Sequence[Module], base: Mapping[str, object], entrypoints: Sequence[str]
) -> Engine:
    """Raises POLICY_ENGINE_UNAVAILABLE, with file and line, where they do not compile."""
    texts = {module.name: module.text for module in modules}
    try:
        return Engine(texts, base, entrypoints)
    except EngineError as error:
        raise unusable(_located(str(error), texts), "Run `opa check --strict` on the policies.") from None


def _located(error: str, texts: Mapping[str, str]) -> str:
    """`file:line: message` from the engine's error, which counts bytes."""
    place = _PLACE.search(error)
    if place is None or place[1] not in texts:
        return "The policies do not compile."
    line = dialect.line_of(texts[place[1]], int(place[2]))
    return f"{place[1]}:{line}: {place[3]}."


def _finite(document: dict[str, object]) -> bool:
    """False where there is a NaN or an infinity, which orjson writes as it writes a null."""
    pending: list[dict[str, object] | list[object]] = [document]
    for container in pending:  # it grows as it is walked
        for value in container.values() if isinstance(container, dict) else container:
            if isinstance(value, float):
                if not isfinite(value):
                    return False
            elif isinstance(value, dict | list):
                pending.append(value)
    return True
