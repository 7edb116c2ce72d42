"""Proves, by asking both, that policies answer in a quicker form what they answer whole (adr/0062).

Knows: forms, inputs to try, and what an equal answer is. Must not know: what an answer means, where policies
come from. It is a proof as tests are: of the policies' own cases, and of as many generated inputs as there is
time for. Beside it stands `layout`, which knows beforehand what would be misread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import orjson

from broker.adapters.policyfiles.source import PolicySource, shipped_policies
from broker.adapters.rego.compiled import RULES, CompiledRule, RuleForm, compiled
from broker.adapters.rego.engine import EngineError
from broker.adapters.rego.layout import obstacles
from broker.adapters.rego.probes import Document, Probes, ProbeVocabulary
from broker.errors import BrokerError
from broker.ports import DecisionPoint

LEAST_GENERATED = 60
"""How many generated inputs are compared in any case, however long that takes."""
BEFORE_THEY_RULE_SECONDS = 0.3
THOROUGH_SECONDS = 0.6
"""Of the processor, for more of them: before policies rule, and where somebody works on them."""
_MOST_ENTRIES = 64
_AN_ERROR = "(an error)"
_UNKNOWN = "nobody has proven yet that they answer alike when sliced"
_REPORT = "They rule, right but slower: a decision costs up to twice as much. Write the rule in another way."

Known = Mapping[DecisionPoint, Sequence[Document]]
Rules = Mapping[tuple[DecisionPoint, str], CompiledRule]


@dataclass(frozen=True, slots=True)
class SlicingProof:
    """The quickest form in which the policies of this SHA-256 may be evaluated, and on how many inputs it
    answered as they do whole. `why` and `remedy` tell what a quicker form would do wrong; empty where there
    is none.
    """

    sha256: str
    form: RuleForm
    compared: int
    why: str = ""
    remedy: str = ""
    is_known: bool = True
    """False where nobody has tried to prove anything."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A proof; and the rules that were compiled for it, where nothing of the data had to be cut."""

    proof: SlicingProof
    rules: Rules | None = field(default=None, repr=False)


Prover = Callable[[PolicySource], Proven]
"""Says in which form policies may be evaluated. Raises POLICY_ENGINE_UNAVAILABLE where in none."""


def unproven(source: PolicySource) -> Proven:
    """What holds of policies that nobody has proven anything of."""
    sha256 = source.version.sha256
    return Proven(SlicingProof(sha256, RuleForm.WHOLE, 0, _UNKNOWN, "They are tried again shortly.", False))


def already(proof: SlicingProof | None) -> Prover:
    """Policies of another SHA-256 than the proof's are unproven."""

    def known(source: PolicySource) -> Proven:
        if proof is None or proof.sha256 != source.version.sha256:
            return unproven(source)
        return Proven(proof)

    return known


@dataclass(frozen=True, slots=True)
class ProofSetting:
    """Tables that policies are compared with in place of their own, and the inputs that belong to them."""

    tables: Mapping[str, object] = field(default_factory=dict, repr=False)
    known: Known = field(default_factory=dict, repr=False)


def prove(
    source: PolicySource,
    settings: Sequence[ProofSetting] = (ProofSetting(),),
    seconds: float = BEFORE_THEY_RULE_SECONDS,
    now: Callable[[], float] = time.process_time,
    written: Rules | None = None,
) -> Proven:
    """Compares on all known inputs of each setting and on generated ones, these for about `seconds` of the
    processor. `written` are the rules as they were compiled whole, with all of their data, if they were.
    Raises POLICY_ENGINE_UNAVAILABLE where the policies cannot be used at all.
    """
    sources = [
        with_small_tables(replace(source, base={**source.base, **setting.tables})) for setting in settings
    ]
    whole = [
        written if written and each.base == source.base else compiled(each, RuleForm.WHOLE)
        for each in sources
    ]
    found, why, remedy = obstacles(source.modules, source.base), "", ""
    for form in (RuleForm.SLICED, RuleForm.LOOKUPS):
        in_the_way = [each for each in found if _rank(each.form) > _rank(form)]
        if in_the_way:
            why, remedy = why or str(in_the_way[0]), remedy or in_the_way[0].remedy
            continue
        trials = [
            _Trial(form, *each, seconds / len(settings), now)
            for each in zip(sources, [setting.known for setting in settings], whole, strict=True)
        ]
        difference = next(filter(None, (trial.difference() for trial in trials)), "")
        if not difference:
            compared = sum(trial.compared for trial in trials)
            proof = SlicingProof(source.version.sha256, form, compared, why, remedy)
            return Proven(proof, trials[0].rules if sources[0].base == source.base else None)
        why, remedy = why or difference, remedy or _REPORT
    return Proven(SlicingProof(source.version.sha256, RuleForm.WHOLE, 0, why, remedy))


@dataclass(slots=True)
class _Trial:
    """One form of policies against the same whole; `compared` counts the inputs."""

    form: RuleForm
    source: PolicySource
    known: Known
    reference: Rules
    seconds: float
    now: Callable[[], float]
    compared: int = 0
    rules: Rules | None = None

    def difference(self) -> str:
        """The first, in words; an empty string where there is none."""
        try:
            self.rules = rules = compiled(self.source, self.form)
        except BrokerError as error:
            return f"{self.form.value}, they do not compile: {error.message}"
        for point, document in self._inputs():
            self.compared += 1
            for asked, name in RULES:
                if asked is point and not _agree(rules[point, name], self.reference[point, name], document):
                    return f"{self.form.value}, broker.{point.value}.{name} answers an input differently"
        return ""

    def _inputs(self) -> Iterator[tuple[DecisionPoint, Document]]:
        """An empty one for each point, all that are known, and generated ones while there is time."""
        known = ((point, each) for point, documents in self.known.items() for each in _different(documents))
        yield from chain(((point, {}) for point in DecisionPoint), known)
        words = ProbeVocabulary.of(self.source.modules, self.source.base)
        generated = Probes(_schemas(), words, self.source.version.sha256).any(self.known)
        end = self.now() + self.seconds
        for number, each in enumerate(generated):
            if number >= LEAST_GENERATED and self.now() > end:
                return
            yield each


def _rank(form: RuleForm) -> int:
    return tuple(RuleForm).index(form)


def _agree(rule: CompiledRule, reference: CompiledRule, document: Document) -> bool:
    ours, theirs = _answer(rule, document), _answer(reference, document)
    return _bytes(ours) == _bytes(theirs) or _bytes(_ordered(ours)) == _bytes(_ordered(theirs))


def _answer(rule: CompiledRule, document: Document) -> object:
    try:
        return rule.answer(document)
    except (EngineError, orjson.JSONEncodeError):
        return _AN_ERROR


def _bytes(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _ordered(value: object) -> object:
    """With every list in one order: sets come in the order of the engine."""
    if isinstance(value, dict):
        return {key: _ordered(child) for key, child in value.items()}
    if isinstance(value, list):
        return sorted((_ordered(each) for each in value), key=_bytes)
    return value


def _different(documents: Sequence[Document]) -> Iterable[Document]:
    return {_bytes(each): each for each in documents}.values()


def _schemas() -> dict[str, Mapping[str, object]]:
    """Of the inputs, as this broker makes them, whatever schemas a folder holds."""
    folder = shipped_policies() / "schema"
    return {it.value: json.loads((folder / f"{it.value}.input.json").read_bytes()) for it in DecisionPoint}


def with_small_tables(source: PolicySource) -> PolicySource:
    """The same policies with large tables cut: the engine would load 100,000 entries for minutes. What is
    sliced is the same, for it depends on the tables' names and on whether an entry is null.
    """
    return replace(source, base={name: _cut(value) for name, value in source.base.items()}, data_files=())


def has_small_tables(source: PolicySource) -> bool:
    """Whether that leaves them as they are."""
    return with_small_tables(source).base == source.base


def _cut(value: object) -> object:
    """At most 64 entries of each object and list, and of those as many different ones as there are."""
    if isinstance(value, list):
        return [_cut(each) for each in value[:_MOST_ENTRIES]]
    if not isinstance(value, dict):
        return value
    if len(value) <= _MOST_ENTRIES:
        return {key: _cut(each) for key, each in value.items()}
    different: dict[bytes, str] = {}
    for key, each in value.items():
        different.setdefault(_bytes(each), key)
    empty = [key for key, each in value.items() if each is None][:1]
    kept = dict.fromkeys([*empty, *different.values(), *value][:_MOST_ENTRIES])
    return {key: _cut(value[key]) for key in kept}
