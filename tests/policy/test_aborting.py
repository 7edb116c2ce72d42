"""Policies whose text makes the engine abort: no broker and no command ends with it, and the line is told."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.adapters.clock import SystemClock
from broker.adapters.rego.origin import Folder
from broker.adapters.rego.preflight import MEMORY_BYTES, try_policies
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.cli.main import app
from broker.errors import BrokerError
from tests.policy.engines import POLICIES
from tests.trials import tried_apart

HEAD = """package broker.own

import data.broker.grants

"""
FORMS = {
    "a list that is a rule": ('asked := ["requires", "shape"]\n\n', "name := asked[_]", "grants.role[name]"),
    "a list in place": ("", 'name := ["requires", "shape"][_]', "grants.role[name]"),
    "a list of the input": ("", "name := input.call.fields[_]", "grants.role[name]"),
    "a set": ('asked := {"requires", "shape"}\n\n', "name := asked[_]", "grants.role[name]"),
    "a variable for the place": ('asked := ["requires"]\n\n', "name := asked[i]", "grants.role[name]"),
    "a table of the data": ("", "name := data.grants[_].role", "data.roles[name]"),
    "inside a call": ('asked := ["shape"]\n\n', "name := asked[_]", 'grants.role[concat("", [name])]'),
    "kept in a variable": ('asked := ["shape"]\n\n', "name := asked[_]", "part := grants.role[name]\n\tpart"),
}


@pytest.fixture(scope="module", autouse=True)
def _apart() -> Iterator[None]:
    """It is measured what a trial takes."""
    with tried_apart():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def _with_form(folder: Path, form: str) -> int:
    """Writes a rule of the form; the line where it walks."""
    before, walk, use = FORMS[form]
    text = (
        f'{HEAD}{before}denies["mine"] := {{"reason": "No.", "changes": []}} if {{\n\t{walk}\n\t{use}\n}}\n'
    )
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own/mine.rego").write_text(text)
    return text[: text.index(walk)].count("\n") + 1


@pytest.mark.parametrize("form", FORMS)
async def test_a_rule_that_makes_the_engine_abort_is_told_with_file_line_and_remedy(
    folder: Path, form: str
) -> None:
    line = _with_form(folder, form)
    with pytest.raises(BrokerError) as refused:
        await try_policies(folder)
    assert str(refused.value.message).startswith(f"own/mine.rego:{line}: ")
    assert "some name in" in refused.value.remedy


async def test_a_rule_that_makes_the_engine_abort_is_not_hot_reloaded(folder: Path) -> None:
    authorizer = ReloadingAuthorizer(Folder(folder), SystemClock())
    before = authorizer.version
    line = _with_form(folder, "a list that is a rule")
    await authorizer.look()
    assert authorizer.problem().startswith(f"own/mine.rego:{line}: ")
    assert authorizer.version == before


@pytest.mark.parametrize("words", [("check",), ("test",), ("explain", "--policies")])
def test_no_command_ends_with_a_rule_that_makes_the_engine_abort(
    folder: Path, words: tuple[str, ...]
) -> None:
    line = _with_form(folder, "a list that is a rule")
    done = CliRunner().invoke(app, ["policy", *words, str(folder)], env={"PATH": "/nowhere"})
    assert done.exit_code != 0
    assert f"own/mine.rego:{line}" in f"{done.output} {done.exception}"


RECURSIONS = {
    "a rule": (
        "r if {\n\tnot input.call.stream\n\tr\n}\n",
        "broker.calls fails its self-check: own/mine.rego:7: the rule `r` calls itself.",
    ),
    "with another input": (
        'default r := false\n\nr if {\n\tevery x in input.call.fields { x != "n" }\n\tr\n}\n\n'
        'q := y if {\n\ty := r with input.transport as "grpc"\n}\n',
        "own/mine.rego:9: the rule `r` calls itself.",
    ),
    "two rules in a circle": (
        "r if {\n\tq == true\n}\n\nq if {\n\tr\n}\n",
        "broker.calls fails its self-check: own/mine.rego:6: rules call each other in a circle: "
        "`r` (own/mine.rego:6) calls `q` (own/mine.rego:10) calls `r`.",
    ),
    "three rules, of which one is answered by the others' absence": (
        "r if q\n\nq := x if {\n\tx := s\n}\n\ns if not r\n",
        "own/mine.rego:5: rules call each other in a circle: `r` (own/mine.rego:5) calls "
        "`q` (own/mine.rego:8) calls `s` (own/mine.rego:11) calls `r`.",
    ),
    "functions": (
        "r if f(1)\n\nf(x) := y if {\n\ty := g(x)\n}\n\ng(q) := y if {\n\ty := f(q)\n}\n",
        "`f` (own/mine.rego:8) calls `g` (own/mine.rego:12) calls `f`.",
    ),
    "rules of other packages": (
        "r if data.broker.calls.decision.allow\n",
        "own/mine.rego:7: rules call each other in a circle: `broker.own.denies.mine` (own/mine.rego:7) "
        "calls `broker.own.r` (own/mine.rego:5) calls `broker.calls.decision` (calls.rego:",
    ),
}


@pytest.mark.parametrize("form", RECURSIONS)
async def test_a_rule_that_calls_itself_takes_not_all_memory_and_is_told(folder: Path, form: str) -> None:
    text, said = RECURSIONS[form]
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own/mine.rego").write_text(
        f'{HEAD}{text}\ndenies["mine"] := {{"reason": "No.", "changes": []}} if r\n'
    )
    with pytest.raises(BrokerError) as refused:
        await try_policies(folder)
    assert said in str(refused.value.message)
    assert refused.value.remedy
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < 1.5 * MEMORY_BYTES


async def test_a_rule_of_which_one_part_reads_another_is_told_though_opa_takes_it(folder: Path) -> None:
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own/mine.rego").write_text(
        f'{HEAD}denies["mine"] := {{"reason": "No.", "changes": []}} if {{\n\tnot denies.yours\n}}\n\n'
        'denies["yours"] := {"reason": "No.", "changes": []} if input.call.stream\n'
    )
    with pytest.raises(BrokerError) as refused:
        await try_policies(folder)
    assert "own/mine.rego:6: a part of the rule `denies` reads another part of it." in refused.value.message
    assert refused.value.remedy.startswith("OPA takes that, the embedded engine does not")


async def test_the_remedy_works(folder: Path) -> None:
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own/mine.rego").write_text(
        f'{HEAD}denies["mine"] := {{"reason": "No.", "changes": []}} if {{\n\t'
        'some name in ["requires", "shape"]\n\tgrants.role[name]\n}\n'
    )
    await try_policies(folder)
