"""Policies that the slicing would misread are found, run whole, and answer rightly; everybody is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from typer.testing import CliRunner

from broker.adapters.clock import SystemClock
from broker.adapters.keystore import SealedStore
from broker.adapters.policyfiles import slicing, statements
from broker.adapters.policyfiles.source import Module, PolicySource, read_policies, read_tests
from broker.adapters.rego import EmbeddedAuthorizer, lookups, proof
from broker.adapters.rego.compiled import RuleForm, compiled
from broker.adapters.rego.layout import obstacles
from broker.adapters.rego.origin import Folder
from broker.adapters.rego.probes import Document, Probes, ProbeVocabulary
from broker.adapters.rego.proof import LEAST_GENERATED, ProofSetting, Proven, Rules, already, prove, unproven
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.adapters.rego.selection import Selection
from broker.adapters.rego.table_cases import read_cases
from broker.cli.main import app
from broker.errors import BrokerError
from broker.model.decision import PolicyVersion
from broker.ports import DecisionPoint
from tests.policy.engines import POLICIES, ROOT, WITH_FIXTURE, briefly, ordered
from tests.sizes import sized
from tests.vault.serving import configuration

SMALL = ROOT / "tests/small_policies"
OTHER = "spiffe://dev.broker/ns/demo/sa/batch"
BASE: dict[str, object] = json.loads((POLICIES / "data.json").read_text())
DENIES = 'default decision := {"allow": false, "rule": "none", "reason": "No."}\n\n'
CALLS = f"package broker.calls\n\n{DENIES}"
ALLOWED = '{"allow": true, "rule": "granted", "reason": "Yes."}'
LIB = "package broker.lib\n\n"

MISREAD = {
    "a condition on the next line": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n"
        "\tdata.broker.lib.known\n\tdata.broker.lib.open\n}\n",
        "lib.rego": f"{LIB}known := data.grants[input.subject.id]\n\nopen := true\nif {{ input.transport == "
        '"grpc" }\n',
    },
    "a member on the next line": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n\tdata.grants[input.subject.id]\n"
        "\tnot data.broker.lib.closed[input.transport]\n}\n",
        "lib.rego": f'{LIB}closed\ncontains "grpc"\n',
    },
    "two rules on a line": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n"
        "\tdata.grants[input.subject.id]\n\tnot closed\n}\n\n"
        'other := 1; closed if input.transport == "grpc"\n',
    },
    "a package in quotes": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n\tdata.grants[input.subject.id]\n"
        "\tnot data.broker.lib.closed\n}\n",
        "lib.rego": 'package broker["lib"]\n\nclosed := input.transport\n',
    },
    "an import in quotes": {
        "calls.rego": 'package broker.calls\n\nimport data.broker["lib"] as l\n\n'
        f"{DENIES}decision := {ALLOWED} if {{\n\tdata.grants[input.subject.id]\n\tnot l.closed\n}}\n",
        "lib.rego": f'{LIB}closed if input.transport == "grpc"\n',
    },
    "an indented package": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n\tdata.grants[input.subject.id]\n"
        "\tnot data.broker.lib.closed\n}\n",
        "lib.rego": ' package broker.lib\n\nclosed if input.transport == "grpc"\n',
    },
    "a space in a path": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n\tdata.grants[input.subject.id]\n"
        "\tnot data.broker. lib.closed\n}\n",
        "lib.rego": f'{LIB}closed if input.transport == "grpc"\n',
    },
    "another subject by `with`": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n"
        f'\tdata.grants[input.subject.id].role == "batch" with input.subject.id as "{OTHER}"\n'
        '\tinput.transport == "grpc"\n\tinput.subject.tenant != "nobody"\n}\n',
    },
    "another input by `with`": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if {{\n"
        f'\tdata.grants[input.subject.id].role == "batch" with input as {{"subject": {{"id": "{OTHER}"}}}}\n'
        '\tinput.subject.tenant != "nobody"\n}\n',
    },
    "a rule among the data": {
        "calls.rego": f"{CALLS}decision := {ALLOWED} if data.grants[input.subject.id].extra\n",
        "lib.rego": f'package grants["{OTHER}"]\n\nextra := true\n',
    },
    "a default on the next line": {
        "calls.rego": f"{CALLS.replace('default ', 'default' + chr(10))}decision := {ALLOWED} if {{\n"
        "\tdata.grants[input.subject.id]\n"
        '} else := {"allow": false, "rule": "other", "reason": "No."} if input.transport == "grpc"\n',
    },
}
"""Legal Rego of the dialect, on which the slicing alone gave another answer, or none."""


def _source(files: dict[str, str], base: dict[str, object] = BASE) -> PolicySource:
    others = {f"{name}.rego": f"package broker.{name}\n\n{DENIES}" for name in ("tokens", "admin")}
    modules = tuple(Module(name, text) for name, text in sorted((others | files).items()))
    return PolicySource(modules, base, PolicyVersion("made", "5" * 64))


def _inputs(source: PolicySource, count: int) -> Iterator[tuple[DecisionPoint, Document]]:
    """Others than those of the proof."""
    words = ProbeVocabulary.of(source.modules, source.base)
    schemas = {
        it.value: json.loads((POLICIES / f"schema/{it.value}.input.json").read_text()) for it in DecisionPoint
    }
    return islice(Probes(schemas, words, "another seed").any({}), count)


async def _answers(authorizer: EmbeddedAuthorizer, point: DecisionPoint, document: Document) -> object:
    try:
        return ordered((await authorizer.evaluate(point, document)).result)
    except BrokerError as error:
        return error.kind


@pytest.mark.parametrize("name", MISREAD)
async def test_what_the_slicing_misreads_is_found_and_answers_rightly(name: str) -> None:
    source = _source(MISREAD[name])
    proven = prove(source, seconds=0).proof
    assert proven.form is not RuleForm.SLICED
    assert ".rego:" in proven.why  # the line is known beforehand
    assert proven.remedy
    whole, ours = EmbeddedAuthorizer(source), EmbeddedAuthorizer(source, briefly)
    assert ours.proof.form is proven.form
    for point, document in _inputs(source, 200):
        assert await _answers(ours, point, document) == await _answers(whole, point, document)


@pytest.mark.parametrize("name", MISREAD)
def test_the_proof_finds_it_also_where_nobody_thought_of_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "obstacles", lambda _modules, _base: [])
    proven = prove(_source(MISREAD[name]), seconds=0).proof
    assert proven.form is not RuleForm.SLICED
    assert "broker.calls.decision" in proven.why or "do not compile" in proven.why


@pytest.mark.parametrize("folder", [POLICIES, WITH_FIXTURE])
def test_the_shipped_policies_are_sliced(folder: Path) -> None:
    source = read_policies(folder)
    assert obstacles(source.modules, source.base) == []
    proven = prove(source).proof
    assert (proven.form, proven.why) == (RuleForm.SLICED, "")
    assert proven.compared >= LEAST_GENERATED


def test_the_shipped_rules_are_proven_on_all_of_their_tables() -> None:
    """`broker policy check` therefore proves them on none of these, wherever they are by themselves."""
    known: dict[DecisionPoint, list[Document]] = {point: [] for point in DecisionPoint}
    for case in read_cases(read_tests(WITH_FIXTURE)):
        known[case.point].append(case.document)
    proven = prove(read_policies(WITH_FIXTURE), [ProofSetting(known=known)]).proof
    assert (proven.form, proven.why) == (RuleForm.SLICED, "")
    assert proven.compared > LEAST_GENERATED + 200


# --- faults


def _forgets_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "_imports", lambda _code: iter(()))


def _forgets_what_is_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing._Index, "meant", lambda self, path: iter(self._at.get(path, ())))


def _forgets_one_rule(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    def inject(monkeypatch: pytest.MonkeyPatch) -> None:
        keeping = statements.keeping
        monkeypatch.setattr(
            slicing,
            "keeping",
            lambda module, wanted: keeping(module, lambda each: each.head != name and wanted(each)),
        )

    return inject


def _forgets_a_part_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Selection.of

    def less(self: Selection, document: Document) -> Document:
        selected = of(self, document)
        return selected if self._reads_all else {k: v for k, v in selected.items() if k != "time"}

    monkeypatch.setattr(Selection, "of", less)


def _looks_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups.Lookup, "entry", lambda self, _document: next(iter(self.table.values())))


def _takes_a_chain_apart_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = slicing.chain

    def swapped(*given: object) -> object:
        apart = chain(*given)  # type: ignore[arg-type]
        return apart and slicing.Chain(apart.others, apart.first)

    monkeypatch.setattr(slicing, "chain", swapped)


FAULTS = {
    "imports are forgotten": _forgets_imports,
    "a path means itself alone": _forgets_what_is_above,
    **{
        f"the rule {name} is forgotten": _forgets_one_rule(name)
        for name in ("model_granted", "in_window", "within_cap")
    },
    "a part of the input is forgotten": _forgets_a_part_of_the_input,
    "another entry is looked up": _looks_up_another,
    "a chain's answers change places": _takes_a_chain_apart_too_late,
}


INPUTS = 300
"""Generated inputs that are compared at most: a number, so that load does not change what is found."""


def _ticks() -> Callable[[], float]:
    """A clock that goes on by one at each look."""
    ticks = count()
    return lambda: float(next(ticks))


@pytest.fixture(scope="module")
def answering() -> tuple[PolicySource, Rules]:
    """Policies, and their rules as they answer whole, which no fault changes."""
    source = read_policies(WITH_FIXTURE)
    return source, compiled(source, RuleForm.WHOLE)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_slicing_is_found(
    fault: str, answering: tuple[PolicySource, Rules], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, whole = answering
    _forget_what_is_known()
    FAULTS[fault](monkeypatch)
    try:
        trial = proof._Trial(RuleForm.SLICED, source, {}, whole, INPUTS, _ticks())
        assert trial.difference().startswith("sliced, ")
    finally:
        _forget_what_is_known()


def test_what_is_at_fault_when_sliced_is_not_sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_what_is_known()
    _forgets_imports(monkeypatch)
    try:
        proven = prove(read_policies(WITH_FIXTURE), seconds=0).proof
    finally:
        _forget_what_is_known()
    assert proven.form is RuleForm.LOOKUPS
    assert proven.why.startswith("sliced, ")


def _forget_what_is_known() -> None:
    slicing._parts.cache_clear()
    slicing._index.cache_clear()


# --- any policy

_NAMES = ("p", "q", "r", "lib", "déjà")
_STRINGS = ('"a # b"', '"{ ("', "`raw } ` ", '"if"', '"else := 1"', '"data.grants"', '"é😀"')
_TESTS = (
    'input.transport == "grpc"',
    'input.call.operation in {"chat", "models"}',
    "not input.call.stream",
    "input.estimate.tokens_out_max > 2",
    'data.grants[input.subject.id].role == "assistant"',
    'count([x | some x in input.findings; x.severity == "low"]) > 0',
    'every x in input.call.fields { x != "n" }',
    "data.broker.lib.q",
    "lib2.r",
    "p",
    'set["x"]',
)
_BREAKS = (" ", " ", " ", "\n", "\n\t", " # if } else\n\t")


@st.composite
def _rule(draw: st.DrawFn, name: str, circular: tuple[str, ...] = ()) -> str:
    """`circular` would call this rule again: Rego knows no recursion, and the engine may take all memory."""
    tests = [each for each in _TESTS if each not in circular]
    body = "\n\t".join(draw(st.lists(st.sampled_from(tests), min_size=1, max_size=3)))
    gap, value = (
        draw(st.sampled_from(_BREAKS)),
        draw(st.sampled_from((*_STRINGS, "1", "{1, 2}", "input.call.model"))),
    )
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return f"{name} := {value}{gap}if {{\n\t{body}\n}}{gap}else := {draw(st.sampled_from(_STRINGS))}"
    if kind == 1:
        return f"default {name} := false\n\n{name}{gap}if {{\n\t{body}\n}}"
    if kind == 2:
        end = draw(st.sampled_from(("\n", ";", "\n# } x\n")))
        return f"{name} if {{\n\t{body}\n}}{end}{name}x := 1"
    if kind == 3:
        return f"{name} := [x |\n\tsome x in input.call.fields\n\tnot x == {value}\n]"
    if kind == 4:
        asked = draw(
            st.sampled_from([each for each in ("p", "r", "input.transport") if each not in circular])
        )
        return f'{name} := y if {{\n\ty := {asked} with input.transport as "grpc"\n}}'
    return f"{name} := {value}{gap}if {{\n\t{body}\n}}"


@st.composite
def _policies(draw: st.DrawFn) -> dict[str, str]:
    gap = draw(st.sampled_from(("\n\n", "\n", "\n# }\n")))
    conditions = "\n\t".join(draw(st.lists(st.sampled_from(_TESTS), min_size=1, max_size=3)))
    above, below = draw(st.sampled_from((("p", "r"), ("r", "p"))))
    helpers = {above: draw(_rule(above, (above,))), below: draw(_rule(below, (above, below)))}
    calls = f"{CALLS}import data.broker.lib as lib2\n\n".replace(DENIES, "") + DENIES
    calls += f'decision := {ALLOWED} if {{\n\tinput.subject.tenant != "nobody"\n\t{conditions}\n}}'
    otherwise = (
        f" else := {ALLOWED.replace('granted', 'second')} if {{\n\tr\n\tdata.grants[input.subject.id]\n}}"
    )
    second = draw(st.sampled_from(("", otherwise)))
    members = "".join(
        f"{gap}set contains {each} if {draw(st.sampled_from(_TESTS[:4]))}" for each in ('"x"', '"y"')
    )
    rules = draw(_rule("q")), draw(_rule("r", ("r", "lib2.r")))
    lib = gap.join((LIB.rstrip(), *rules, "p := true", "set := {}"))
    lib = lib.replace("lib2.r", "r").replace("data.broker.lib.q", "input.v")
    return {
        "calls.rego": f"{calls}{second}{gap}{helpers['p']}\n",
        "more.rego": f"package broker.calls{gap}import data.broker.lib as lib2{gap}{helpers['r']}{members}\n",
        "lib.rego": f"{lib}\n",
    }


@settings(max_examples=sized(25, 600))
@given(_policies())
async def test_whatever_a_policy_looks_like_it_answers_as_it_does_whole(files: dict[str, str]) -> None:
    source = _source(files)
    try:
        whole = EmbeddedAuthorizer(source)
    except BrokerError:
        return  # it is no policy
    ours = EmbeddedAuthorizer(source, briefly)
    for point, document in _inputs(source, 40):
        assert await _answers(ours, point, document) == await _answers(whole, point, document), ours.proof


# --- where it is known, and told


def test_a_proof_of_other_policies_proves_nothing() -> None:
    source = read_policies(SMALL)
    other = Proven(prove(read_policies(POLICIES), seconds=0).proof).proof
    for known in (None, other):
        found = EmbeddedAuthorizer(source, already(known)).proof
        assert (found.form, found.is_known) == (RuleForm.WHOLE, False)
    assert unproven(source).proof.why


def test_the_time_for_generated_inputs_is_bounded() -> None:
    source = read_policies(SMALL)
    some = prove(source, seconds=10, now=_ticks()).proof
    assert LEAST_GENERATED < some.compared < LEAST_GENERATED + 20
    ticks = _ticks()
    more = prove(source, seconds=1000, now=lambda: ticks() * 10).proof
    assert some.compared < more.compared < LEAST_GENERATED + 1000


@pytest.fixture
def misread(tmp_path: Path) -> Path:
    """The shipped policies, with a condition that the slicing would lose."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own/mine.rego").write_text(
        'package broker.own\n\ndenies["mine"] := {"reason": "No.", "changes": []}\n'
        'if { input.call.operation == "edits" }\n'
    )
    return folder


async def test_a_running_broker_goes_on_rightly_and_tells(misread: Path) -> None:
    rule = misread / "own/mine.rego"
    text = rule.read_text()
    rule.write_text(text.replace("\nif {", " if {"))
    with Folder(misread).contents() as contents:
        authorizer = ReloadingAuthorizer(Folder(misread), SystemClock(), proof=await contents.try_them())
    assert authorizer.unsliced() == ""
    rule.write_text(text)
    with capture_logs() as told:
        await authorizer.look()
    assert authorizer.problem() == ""
    assert authorizer.unsliced().startswith("own/mine.rego:4: a rule goes on at the beginning of a line")
    (event,) = [each for each in told if each["event"] == "policy_unsliced"]
    assert (event["log_level"], event["form"]) == ("warning", RuleForm.LOOKUPS.value)
    assert event["remedy"]


async def test_policies_that_nobody_has_proven_are_proven_at_the_first_look() -> None:
    with capture_logs() as told:
        authorizer = ReloadingAuthorizer(Folder(SMALL), SystemClock())
    assert "proven" in authorizer.unsliced()
    assert [each["event"] for each in told] == ["policy_unsliced"]
    await authorizer.look()
    assert authorizer.unsliced() == ""


def test_check_and_build_tell_and_record_it(misread: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["policy", "check", str(misread), "--json"], env={"PATH": "/nowhere"})
    said = json.loads(done.stdout)
    assert said["verdict"] == "incomplete"  # opa was not asked; nothing is wrong
    assert said["slicing"]["form"] == RuleForm.LOOKUPS.value
    assert said["slicing"]["sha256"] == read_policies(misread).version.sha256
    assert said["slicing"]["compared"] > 300  # the policies' own cases among them
    shown = CliRunner().invoke(
        app, ["policy", "check", str(misread)], env={"PATH": "/nowhere", "COLUMNS": "200"}
    )
    assert "evaluated whole, with tables looked up: own/mine.rego:4: a rule goes on" in shown.stdout
    words = ["--signing-key", str(tmp_path / "k.pem"), "--new-key", "--revision", "x", "--json"]
    built = CliRunner().invoke(
        app, ["policy", "build", str(misread), *words, "-o", str(tmp_path / "b.tar.gz")]
    )
    assert json.loads(built.stdout)["slicing"]["why"] == said["slicing"]["why"]


def test_the_doctor_tells_it(misread: Path, tmp_path: Path) -> None:
    SealedStore(tmp_path / "keys").put("openai", "sk-doctor-0123456789abcdef")
    sections = {"keys": {"directory": str(tmp_path / "keys")}, "policy": {"directory": str(misread)}}
    configuration(tmp_path, "https://api.openai.com/v1", sections)
    done = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "broker.toml"), "--json"])
    (warned,) = [each for each in json.loads(done.output) if "own/mine.rego:4" in each["told"]]
    assert warned["level"] == "warning"
    assert warned["remedy"].startswith("Run `opa fmt")
