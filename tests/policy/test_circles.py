"""Rules that call each other in a circle: named exactly where OPA names them."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from broker.adapters.policyfiles.circles import circles
from broker.adapters.policyfiles.mentions import RuleText, rule_texts
from broker.adapters.policyfiles.source import Module, read_policies
from tests.policy.engines import OPA, POLICIES
from tests.policy.rulegraphs import modules
from tests.sizes import sized

SEEDS = sized(100, 5_000)
_NAMED = re.compile(r"rule data\.(\S+) (?:is|may be) recursive: ")


def in_circles(found: Iterable[Module]) -> set[str]:
    """The rules that are in a circle, as paths; … stands for a key that is worked out."""
    whole = circles(rule_texts([*found]), lambda rule: rule.path)
    return {_shown(step.rule) for circle in whole for step in circle}


def _shown(rule: RuleText) -> str:
    return ".".join("…" if step is None else step for step in rule.path)


def recursive_for_opa(folder: Path, found: Iterable[Module]) -> set[str]:
    """The same, as `opa check` has it. What is judged after recursion does not matter here."""
    assert OPA is not None, "no opa here: run `make servers`"
    for module in found:
        (folder / module.name).write_text(module.text)
    words = [OPA, "check", "--max-errors", "0", "--format", "json", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    errors = json.loads(done.stdout or done.stderr or "{}").get("errors", [])
    assert {each["code"] for each in errors} <= {"rego_recursion_error", "rego_type_error"}, done
    return {_as_shown(named[1]) for each in errors if (named := _NAMED.match(each["message"]))}


def _as_shown(path: str) -> str:
    named = re.sub(r'\["([^"]*)"\]', r".\1", path)
    return re.sub(r"\[[^\]\"0-9][^\]\"]*\]", ".…", re.sub(r"\[(\d+)\]", r".[\1]", named))


@pytest.mark.servers
def test_a_circle_of_rules_is_named_exactly_where_opa_names_it(tmp_path: Path) -> None:
    both = {True: 0, False: 0}
    for seed in range(SEEDS):
        found = modules(seed)
        named = in_circles(found)
        assert named == recursive_for_opa(tmp_path, found), f"seed {seed}"
        both[bool(named)] += 1
    assert min(both.values()) > SEEDS / 10, both


def test_the_shipped_rules_are_in_no_circle() -> None:
    rules = rule_texts(read_policies(POLICIES).modules)
    assert len(rules) > 100
    assert not circles(rules, lambda rule: rule.path)
    assert not circles(rules, lambda rule: rule.name)


ALLOWED = {
    "another package's rule of the same name": "package a\n\nr := data.b.r\n",
    "a field of the same name": 'package a\n\nr if input.r == {"r": 1}.r\n',
    "another key of the same table": 'package a\n\nr["x"] := r.y\n\nr["y"] := 1\n',
    "an argument": "package a\n\nr := f(1)\n\nf(r) := r + 1\n",
    "a name in a comprehension": "package a\n\nr := [r | some r in [1]]\n",
    "a name that a body assigns": "package a\n\nr if {\n\tr := 1\n\tr == 1\n}\n",
    "a name for each": "package a\n\nr if every r in [1] {\n\tr == 1\n}\n",
    "an import": "package a\n\nimport data.b as r\n\nq := r.q\n",
    "a replaced input": "package a\n\nr := q with input.r as 1\n\nq := input.r\n",
}


@pytest.mark.parametrize("form", ALLOWED)
def test_what_opa_allows_is_no_circle(form: str) -> None:
    other = Module("b.rego", "package b\n\nr := q\n\nq := 1\n")
    assert not in_circles([Module("a.rego", ALLOWED[form]), other])


def test_a_thousand_rules_in_one_circle_are_found_at_once() -> None:
    rules = "".join(f"r{number} if r{(number + 1) % 1000}\n\n" for number in range(1000))
    began = time.monotonic()
    (circle,) = circles(rule_texts([Module("a.rego", f"package a\n\n{rules}")]), lambda rule: rule.path)
    assert len(circle) == 1000
    assert time.monotonic() - began < 5
