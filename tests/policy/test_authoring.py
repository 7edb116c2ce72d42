"""What a Rego author types: check, test, new-rule; and what each mistake is told with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.policyfiles.dialect import code_of, input_mentions
from broker.adapters.policyfiles.lint import find_mistakes
from broker.adapters.policyfiles.source import read_policies
from broker.cli.main import app
from broker.cli.policy.opa import OpaBinary
from broker.errors import BrokerError
from tests.opa.sidecar import opa_binary
from tests.policy.engines import POLICIES

RULE = """package broker.own

import data.broker.grants

denies["mine"] := {{"reason": "No.", "changes": []}} if {{
	grants.role_name == "explorer"
	{condition}
}}
"""
CONDITION_LINE = 7


def broker(*words: str) -> Result:
    """One command, where PATH holds nothing."""
    return CliRunner().invoke(app, words, env={"PATH": "/nowhere"})


@dataclass(frozen=True)
class Author:
    """Somebody with a copy of the policies, with an opa or without."""

    policies: Path
    opa: str | None

    def run(self, *words: str) -> tuple[int, Any]:
        """Exit code, and what it said as JSON."""
        named = ("--opa", self.opa) if self.opa else ()
        done = broker("policy", *words, str(self.policies), *named, "--json")
        return done.exit_code, json.loads(done.stdout)

    def write(self, name: str, text: str) -> None:
        (self.policies / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> int:
        """Replaces the first `old`; returns its line."""
        text = (self.policies / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))
        return text[: text.index(old)].count("\n") + 1


@pytest.fixture(params=["embedded", pytest.param("opa", marks=pytest.mark.servers)])
def author(request: pytest.FixtureRequest, tmp_path: Path) -> Author:
    policies = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    return Author(policies, opa_binary() if request.param == "opa" else None)


@pytest.fixture
def alone(tmp_path: Path) -> Author:
    """Without opa: what the broker finds by itself."""
    return Author(Path(shutil.copytree(POLICIES, tmp_path / "policies")), None)


def test_the_policies_are_without_a_mistake(author: Author) -> None:
    code, said = author.run("check")
    assert said["mistakes"] == []
    assert (code, said["verdict"]) == ((0, "good") if author.opa else (2, "incomplete"))


def test_the_policies_hold_their_tests(author: Author) -> None:
    code, said = author.run("test")
    assert said["failures"] == []
    assert code == (0 if author.opa else 2)
    assert said["embedded"]["passed"] > 150
    if author.opa:
        assert said["opa"]["coverage"] == 100
        assert said["opa"]["passed"] >= said["embedded"]["passed"]


def _syntax(author: Author) -> tuple[str, int]:
    author.write("own.rego", RULE.format(condition="input.call.model == (\n"))
    return "own.rego", CONDITION_LINE


def _undefined_function(author: Author) -> tuple[str, int]:
    author.write("own.rego", RULE.format(condition='contians(input.call.operation, "c")'))
    return "own.rego", CONDITION_LINE


def _undefined_function_of_a_package(author: Author) -> tuple[str, int]:
    author.write("own.rego", RULE.format(condition="grants.hold(data.models.any, input.call.model)"))
    return "own.rego", CONDITION_LINE


def _misspelt_field(author: Author) -> tuple[str, int]:
    author.write("own.rego", RULE.format(condition="input.call.modell == null"))
    return "own.rego", CONDITION_LINE


def _misspelt_field_of_the_shared_package(author: Author) -> tuple[str, int]:
    return "grants.rego", author.edit(
        "grants.rego", "input.subject.actor_chain", "input.subject.actor_chains"
    )


def _loop(author: Author) -> tuple[str, int]:
    author.write("own.rego", RULE.format(condition='some id, grant in data.grants\n\tgrant.team == "claims"'))
    return "own.rego", CONDITION_LINE


def _loop_by_an_unbound_key(author: Author) -> tuple[str, int]:
    author.write("own.rego", RULE.format(condition='data.grants[_].team == "claims"'))
    return "own.rego", CONDITION_LINE


def _allow_that_is_a_string(author: Author) -> tuple[str, int]:
    return "ordinary.rego", author.edit("ordinary.rego", '"allow": true', '"allow": "true"')


def _allow_that_is_worked_out(author: Author) -> tuple[str, int]:
    return "admin.rego", author.edit(
        "admin.rego",
        '"allow": true,\n\t"rule": "granted"',
        '"allow": grants.role.admin,\n\t"rule": "granted"',
    )


MISTAKES: dict[Callable[[Author], tuple[str, int]], tuple[str, str]] = {
    _syntax: ("", "bracket"),
    _undefined_function: ("`contians`", "Did you mean `contains`?"),
    _undefined_function_of_a_package: ("`hold`", "Did you mean `holds`?"),
    _misspelt_field: ("`input.call.modell`", "Did you mean `model`?"),
    _misspelt_field_of_the_shared_package: ("`input.subject.actor_chains`", "Did you mean `actor_chain`?"),
    _loop: ("`data.grants`", "data.grants[input.subject.id]"),
    _loop_by_an_unbound_key: ("`data.grants`", "data.grants[input.subject.id]"),
    _allow_that_is_a_string: ("`allow` is a string", '"allow": true'),
    _allow_that_is_worked_out: ("allow", "Look at these lines"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda it: it.__name__.strip("_"))
def test_a_mistake_is_told_with_file_line_and_remedy(
    author: Author, mistake: Callable[[Author], tuple[str, int]]
) -> None:
    file, line = mistake(author)
    code, said = author.run("check")
    assert (code, said["verdict"]) == (1, "bad")
    here = [each for each in said["mistakes"] if each["file"] == file and abs(each["line"] - line) <= 2]
    assert here, said["mistakes"]
    what, remedy = MISTAKES[mistake]
    assert any(what in each["what"] and remedy in each["remedy"] for each in here), here


def test_every_misspelt_field_of_every_policy_is_found(alone: Author) -> None:
    """One letter more in each place where a policy reads the input."""
    source = read_policies(alone.policies)
    missed, tried = [], 0
    for module in source.modules:
        for offset, path in input_mentions(code_of(module)):
            end = offset + len(".".join(("input", *path)))
            alone.write(module.name, module.text[:end] + "x" + module.text[end:])
            line = module.text.count("\n", 0, offset) + 1
            changed = read_policies(alone.policies)
            found = [it for it in find_mistakes(changed, alone.policies) if it.file == module.name]
            tried += 1
            if not any(it.line == line for it in found):
                missed.append(f"{module.name}:{line} input.{'.'.join(path)}")
        alone.write(module.name, module.text)
    assert tried > 60
    assert missed == []


MISTYPED = {"requires": "require", "limits_by": "limit_by", "shape": "shap"}


def test_a_store_misspelt_in_shape_is_told(author: Author) -> None:
    line = author.edit("shape.rego", "input.call.store ", "input.call.stoer ")
    _, said = author.run("check")
    told = [each for each in said["mistakes"] if each["file"] == "shape.rego"]
    assert [(each["line"], "Did you mean `store`?" in each["remedy"]) for each in told] == [(line, True)]


def test_bad_data_are_a_mistake_too(author: Author) -> None:
    line = author.edit("data.json", '"roles": {', '"roles": {,')
    code, said = author.run("check")
    assert code == 1
    assert (said["mistakes"][0]["file"], said["mistakes"][0]["line"]) == ("data.json", line)
    assert said["mistakes"][0]["remedy"]


def test_data_that_says_something_else_is_a_mistake_of_check(author: Author) -> None:
    lines = {author.edit("data.json", f'"{name}": {{', f'"{typed}": {{') for name, typed in MISTYPED.items()}
    code, said = author.run("check")
    assert code == 1
    assert {(each["file"], each["line"]) for each in said["mistakes"]} == {
        ("data.json", line) for line in lines
    }
    assert {f"Did you mean `{name}`?" for name in MISTYPED} == {each["remedy"] for each in said["mistakes"]}


def test_a_failing_case_is_told_with_its_line(author: Author) -> None:
    line = author.edit("content_test.rego", '"low"), "rule": "granted"', '"low"), "rule": "x"')
    code, said = author.run("test")
    assert code == 1
    assert (said["failures"][0]["file"], said["failures"][0]["line"]) == ("content_test.rego", line)
    if author.opa:
        assert any("fails in OPA" in each["what"] for each in said["failures"])


@pytest.mark.servers
def test_a_rule_without_a_test_is_told(tmp_path: Path) -> None:
    author = Author(Path(shutil.copytree(POLICIES, tmp_path / "policies")), opa_binary())
    author.write("own.rego", RULE.format(condition='input.call.operation == "files"'))
    code, said = author.run("test")
    assert code == 1
    assert {each["file"] for each in said["failures"]} == {"own.rego"}
    assert "no test reaches this" in said["failures"][0]["what"]


OLDER = """#!/bin/sh
case "$*" in
*coverage-runs*) echo "Error: unknown flag: --coverage-runs" >&2; exit 1 ;;
*) echo '{"files": {"own/a.rego": {"not_covered": [{"start": {"row": 3}}]}}, "coverage": 90.5}' ;;
esac
"""


def test_an_older_opa_tells_what_no_test_reaches(tmp_path: Path) -> None:
    opa = tmp_path / "opa"
    opa.write_text(OLDER)
    opa.chmod(0o755)
    share, (missed,) = OpaBinary(str(opa)).uncovered(tmp_path)
    assert (share, missed.file, missed.line) == (90.5, "own/a.rego", 3)


def test_a_new_rule_is_whole_from_the_start(author: Author) -> None:
    done = broker("policy", "new-rule", "no_crowds", "--policies", str(author.policies))
    assert done.exit_code == 0, done.output
    for word in ("check", "test"):
        code, said = author.run(word)
        assert said.get("mistakes", said.get("failures")) == []
        assert code == (0 if author.opa else 2)


@pytest.mark.parametrize("name", ["No", "x", "../evil", "a-b", "a" * 60, "a\nb"])
def test_a_rule_needs_a_plain_name(alone: Author, name: str) -> None:
    done = broker("policy", "new-rule", "--policies", str(alone.policies), "--", name)
    assert isinstance(done.exception, BrokerError)
    assert "small letters" in str(done.exception)
    assert not (alone.policies / "own").exists()


def test_nothing_is_overwritten(alone: Author) -> None:
    words = ("policy", "new-rule", "mine", "--policies", str(alone.policies))
    assert broker(*words).exit_code == 0
    again = broker(*words)
    assert isinstance(again.exception, BrokerError)
    assert "there already" in str(again.exception)
