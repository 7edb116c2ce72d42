"""The Authorizer port on the embedded engine.

Knows: which rules are asked, and how to check, once, that they deny. Must not know: what else a decision
says, how rules are compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from broker.adapters.policyfiles import dialect, patterns
from broker.adapters.policyfiles.datacheck import refuse_mistaken
from broker.adapters.policyfiles.source import Module, PolicySource, read_policies, unusable
from broker.adapters.rego import reached
from broker.adapters.rego.aborting import Suspect, recursions
from broker.adapters.rego.compiled import DECISION, EXPLANATION, Reading, compiled
from broker.adapters.rego.engine import EngineError
from broker.adapters.rego.proof import Prover, Rules, SlicingProof, unproven
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion
from broker.ports import DecisionPoint, Evaluation

ANSWERS_KEPT = 1024
"""How many answers an authorizer keeps; then it begins anew."""
_LONGEST_KEPT = 2048  # bytes of a question: all answers together stay within some 20 MB
_NOBODY: dict[str, object] = {"id": "spiffe://self.check/nobody", "tenant": "nobody", "actor_chain": []}


class EmbeddedAuthorizer:
    """Evaluates the policies of one directory, compiled once.

    An evaluation runs on the event loop: it takes about as long as handing it to a thread would. Where it is
    proven that this changes no answer (adr/0062), the engine is given the rules and the parts of a document
    that a decision can reach, so that its cost does not grow with what they ignore. What it answers is a
    function of those parts alone, since the dialect has no built-in that reads a clock, randomness or the
    outside: an answer is kept and given again for equal parts (ADR 9). A policy that reads `now_ns` is
    therefore evaluated on every call.
    """

    def __init__(self, policies: Path | PolicySource, prover: Prover = unproven) -> None:
        """`policies` are a folder, or what was read of one. They are evaluated in the form that `prover`
        gives them; whole without one. Raises POLICY_ENGINE_UNAVAILABLE, with file and line, where they cannot
        be used.
        """
        source = policies if isinstance(policies, PolicySource) else read_policies(policies)
        for module in source.modules:
            dialect.check(module, patterns.slow_patterns(module))
        refuse_mistaken(source)
        self._version = source.version
        proven = prover(source)
        self._proof = proven.proof
        self._rules = proven.rules or compiled(source, self._proof.form)
        self._answers: dict[tuple[Reading, bytes], Evaluation] = {}
        self._most_words = reached.most_words(source.base)
        self._refuse_unless_it_denies(source.modules)

    @property
    def version(self) -> PolicyVersion:
        """The policies this authorizer was made of; they never change."""
        return self._version

    @property
    def proof(self) -> SlicingProof:
        """The form in which they are evaluated, and why."""
        return self._proof

    @property
    def rules(self) -> Rules:
        """As they were compiled."""
        return self._rules

    async def evaluate(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """See ports.Authorizer. An undefined decision is an Evaluation whose result is None."""
        verdict = Evaluation(None, self._version)
        try:
            self._refuse_too_many(document)
            for reading in self._rules[point, DECISION].readings:
                verdict = self._answered(reading, document)
                if verdict.result is not None:
                    break
        except (EngineError, orjson.JSONEncodeError) as error:
            raise self._undecided(point, error) from None
        return verdict

    async def explain(self, point: DecisionPoint, document: dict[str, object]) -> Evaluation:
        """Evaluates `data.broker.<point>.explanation`: every condition of the decision, passed or not.

        The result is None where the policies explain nothing. Raises as `evaluate` does; keeps nothing.
        """
        try:
            self._refuse_too_many(document)
            return Evaluation(self._rules[point, EXPLANATION].answer(document), self._version)
        except (EngineError, orjson.JSONEncodeError) as error:
            raise self._undecided(point, error) from None

    def _refuse_too_many(self, document: Mapping[str, object]) -> None:
        if (many := reached.words(document)) > self._most_words:
            raise EngineError(
                f"the call reaches {many} tools, servers, models and hosts, of which {self._most_words} "
                "can be judged in time"
            )

    def _undecided(self, point: DecisionPoint, error: Exception) -> BrokerError:
        why = error if isinstance(error, EngineError) else "the input is not JSON"
        return BrokerError(
            Kind.POLICY_ENGINE_UNAVAILABLE,
            f"The policy engine could not decide at broker.{point.value}: {why}.",
            remedy="Run the tests of the policies; the operator's log names their revision.",
            details={"policy_revision": self._version.revision},
        )

    def _answered(self, reading: Reading, document: Mapping[str, object]) -> Evaluation:
        """What the reading says: kept from a question with equal parts, or worked out."""
        selected = reading.selected(document)
        question = reading, reading.asked(selected)
        known = self._answers.get(question)
        return known or self._keep(question, reading.worked_out(selected))

    def _keep(self, question: tuple[Reading, bytes], result: object) -> Evaluation:
        verdict = Evaluation(result, self._version)
        if len(question[1]) <= _LONGEST_KEPT:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers.clear()
            self._answers[question] = verdict
        return verdict

    def _refuse_unless_it_denies(self, modules: Sequence[Module]) -> None:
        """A policy that does not deny a stranger who asks for nothing is not one we can run."""
        for point in DecisionPoint:
            try:
                answer = self._rules[point, DECISION].answer({"v": 1, "subject": _NOBODY})
            except EngineError as error:
                raise _without_value(point, error, modules) from None
            if not isinstance(answer, dict) or answer.get("allow") is not False:
                raise unusable(f"broker.{point.value} does not deny an unknown subject.", _REMEDY)


def _without_value(point: DecisionPoint, error: EngineError, modules: Sequence[Module]) -> BrokerError:
    first = next(iter(recursions(modules)), Suspect(f"{error}.", _REMEDY))
    return unusable(f"broker.{point.value} fails its self-check: {first.told}", first.remedy)


_REMEDY = (
    "Each of broker.tokens, broker.calls and broker.admin needs a `default decision` with `allow` false."
)
