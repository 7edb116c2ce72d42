"""The Authorizer port on the embedded engine.

Knows: which entrypoints there are and how to check, once, that they deny. Must not know: what else a
decision says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import orjson

from broker.adapters.policyfiles import dialect, patterns, slicing
from broker.adapters.policyfiles.datacheck import refuse_mistaken
from broker.adapters.policyfiles.source import Module, PolicySource, read_policies, unusable
from broker.adapters.rego import lookups
from broker.adapters.rego.engine import Engine, EngineError
from broker.adapters.rego.selection import Selection
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion
from broker.ports import DecisionPoint, Evaluation

_PLACE = re.compile(r"\(error \d+:([^|\s]+)\|(\d+)\|\d+\s+\(errormsg \d+:([^\n]*)\)")
ANSWERS_KEPT = 1024
"""How many answers an authorizer keeps; then it begins anew."""
_LONGEST_KEPT = 2048  # bytes of a question: all answers together stay within some 20 MB
_LONGEST_ASKED = 256 * 1024  # bytes of a question: some 50 ms, after which no engine is waited for
_LONGEST_MATCHED = 8 * 1024  # bytes of a question whose texts meet a regular expression, which needs stack
_NOBODY: dict[str, object] = {"id": "spiffe://self.check/nobody", "tenant": "nobody", "actor_chain": []}


class EmbeddedAuthorizer:
    """Evaluates the policies of one directory, compiled once.

    An evaluation runs on the event loop: it takes about as long as handing it to a thread would. The engine
    is given the parts of a document that the policies can read, so that its cost does not grow with
    what they ignore. What it answers is a function of those parts alone, since the dialect has no built-in
    that reads a clock, randomness or the outside: an answer is kept and given again for equal parts (ADR 9).
    A policy that reads `now_ns` is therefore evaluated on every call.
    """

    def __init__(self, policies: Path | PolicySource) -> None:
        """`policies` are a folder, or what was read of one. Raises POLICY_ENGINE_UNAVAILABLE, with file and
        line, where they cannot be used.
        """
        source = policies if isinstance(policies, PolicySource) else read_policies(policies)
        for module in source.modules:
            dialect.check(module, patterns.slow_patterns(module))
        refuse_mistaken(source)
        self._version = source.version
        everything = [f"broker/{point.value}/decision" for point in DecisionPoint]
        _compile(source.modules, {}, everything)  # also what no decision reaches has to be Rego
        self._decisions = {point: _Rule(point, "decision", source) for point in DecisionPoint}
        self._explanations = {point: _Rule(point, "explanation", source) for point in DecisionPoint}
        self._answers: dict[tuple[_Reading, bytes], Evaluation] = {}
        self._refuse_unless_it_denies()

    @property
    def version(self) -> PolicyVersion:
        """The policies this authorizer was made of; they never change."""
        return self._version

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Authorizer. An undefined decision is a Verdict whose result is None."""
        first, *others = self._decisions[point].readings
        try:
            verdict = self._answered(first, document)
            for reading in others:
                verdict = verdict if verdict.result is not None else self._answered(reading, document)
        except (EngineError, orjson.JSONEncodeError) as error:
            raise self._undecided(point, error) from None
        return verdict

    async def explain(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """Evaluates `data.broker.<point>.explanation`: every condition of the decision, passed or not.

        The result is None where the policies explain nothing. Raises as `evaluate` does; keeps nothing.
        """
        try:
            return Evaluation(self._explanations[point].answer(document), self._version)
        except (EngineError, orjson.JSONEncodeError) as error:
            raise self._undecided(point, error) from None

    def _undecided(self, point: DecisionPoint, error: Exception) -> BrokerError:
        why = error if isinstance(error, EngineError) else "the input is not JSON"
        return BrokerError(
            Kind.POLICY_ENGINE_UNAVAILABLE,
            f"The policy engine could not decide at broker.{point.value}: {why}.",
            remedy="Run the tests of the policies; the operator's log names their revision.",
            details={"policy_revision": self._version.revision},
        )

    def _answered(self, reading: _Reading, document: Mapping[str, object]) -> Evaluation:
        """What the reading says: kept from a question with equal parts, or worked out."""
        selected = reading.selected(document)
        question = reading, reading.asked(selected)
        known = self._answers.get(question)
        return known or self._keep(question, reading.worked_out(selected))

    def _keep(self, question: tuple[_Reading, bytes], result: object) -> Evaluation:
        verdict = Evaluation(result, self._version)
        if len(question[1]) <= _LONGEST_KEPT:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers.clear()
            self._answers[question] = verdict
        return verdict

    def _refuse_unless_it_denies(self) -> None:
        """A policy that does not deny a stranger who asks for nothing is not one we can run."""
        for point, rule in self._decisions.items():
            try:
                answer = rule.answer({"v": 1, "subject": _NOBODY})
            except EngineError as error:
                raise unusable(f"broker.{point.value} fails its self-check: {error}.", _REMEDY) from None
            if not isinstance(answer, dict) or answer.get("allow") is not False:
                raise unusable(f"broker.{point.value} does not deny an unknown subject.", _REMEDY)


_REMEDY = (
    "Each of broker.tokens, broker.calls and broker.admin needs a `default decision` with `allow` false."
)


class _Rule:
    """One rule of a decision point, compiled with what it can reach and nothing beside it. The first answer
    of its chain is compiled alone, too, where that needs less: most decisions are ordinary, and what they do
    not need would cost them as much again.
    """

    def __init__(self, point: DecisionPoint, name: str, source: PolicySource) -> None:
        package = f"broker.{point.value}"
        whole = _Reading(source, source.modules, package, name)
        chain = slicing.chain(source.modules, package, name)
        first = _Reading(source, chain.first, package, name) if chain else whole
        self.readings = [whole]
        if chain and first.size * 2 < whole.size:
            self.readings = [first, _Reading(source, chain.others, package, name)]

    def answer(self, document: Mapping[str, object]) -> object:
        """The rule's value, or None where it is undefined or there is none. Raises EngineError."""
        answers = (reading.answer(document) for reading in self.readings)
        return next((answer for answer in answers if answer is not None), None)


class _Reading:
    """Modules compiled for one rule; `size` is how much code that is."""

    def __init__(self, source: PolicySource, modules: Sequence[Module], package: str, name: str) -> None:
        reached = slicing.reached(modules, package, name)
        self.size = sum(len(dialect.code_of(module).split()) for module in reached)
        rewritten, base, served = lookups.extract(reached, slicing.mentioned(reached, source.base))
        self._selection = Selection(reached, served)
        self._longest = _LONGEST_MATCHED if patterns.uses_regex(reached) else _LONGEST_ASKED
        self._entrypoint = f"{package.replace('.', '/')}/{name}"
        self._engine = _compile(rewritten, base, [self._entrypoint]) if reached else None

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
        return self._engine.evaluate(self._entrypoint, selected) if self._engine else None

    def selected(self, document: Mapping[str, object]) -> dict[str, object]:
        """The parts of `document` that are read, and the looked-up entries."""
        return self._selection.of(document)


def _compile(modules: Sequence[Module], base: Mapping[str, object], entrypoints: Sequence[str]) -> Engine:
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
