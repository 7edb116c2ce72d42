"""What a pattern in a policy, its data or a call can cost: no more than a moment, and never the process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.policyfiles.datacheck import mistakes_in_data
from broker.adapters.policyfiles.lint import find_mistakes
from broker.adapters.policyfiles.patterns import MAX_STARS, slow_patterns
from broker.adapters.policyfiles.source import Module, read_policies
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.engine import Engine
from broker.errors import BrokerError, Kind
from broker.model.wildcard import matches
from broker.ports import DecisionPoint
from tests.policy.documents import call
from tests.policy.engines import POLICIES
from tests.policy.test_worst_patterns import reaching

FITS = Engine(
    {
        "grants.rego": (POLICIES / "grants.rego").read_text(),
        "probe.rego": "package probe\n\nimport data.broker.grants\n\n"
        "fits if grants.fits(input.pattern, input.text)\n",
    },
    {},
    ["probe/fits"],
)
OWN = """package broker.own

denies["mine"] := {{"reason": "No.", "changes": []}} if {{
	{condition}
}}
"""
SLOW = {
    "glob.match of five stars": 'glob.match("*a*a*a*a", null, input.call.model)',
    "glob.match of a raw string": "glob.match(`*a*a*a*a`, null, input.call.model)",
    "glob.match of what the caller says": 'glob.match(input.call.purpose, null, "x")',
    "glob.match of what the caller says, by key": 'glob.match(input["call"].purpose, null, "x")',
    "regex.match of a repetition repeated": 'regex.match("^(a*)*b$", input.call.model)',
    "regex.match of a choice repeated": 'regex.match("^(a|aa)+$", input.call.model)',
    "regex.match of many repetitions": 'regex.match(".*a.*a.*a.*b", input.call.model)',
    "regex.match of a pattern from data": "regex.match(data.own.pattern, input.call.model)",
    "regex.match of a pattern that is put together": 'regex.match(concat("", ["a", "b"]), input.call.model)',
    "regex.find_n": 'count(regex.find_n("(a+)+b", input.call.model, 2)) > 0',
    "regex.split": 'count(regex.split("(a+){9}", input.call.model)) > 1',
    "regex.replace": 'regex.replace(input.call.model, "(a*b?)*c", "x") == "x"',
    "regex.replace by what the caller says": 'regex.replace("x", input.call.model, "y") == "y"',
}
QUICK = (
    'glob.match("gpt-*", null, input.call.model)',
    "some pattern in data.models.any.patterns\n\tglob.match(pattern, null, input.call.model)",
    'regex.match("^gpt-[0-9]+(-mini|-nano)?$", input.call.model)',
    "regex.match(`^\\d{4}-\\d{2}-\\d{2}T\\d{2}$`, input.call.model)",
    'regex.replace(input.call.model, "[*+]{2}", "(a*)*") == "x"',
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    (copied / "own").mkdir(exist_ok=True)
    return copied


def _with_rule(folder: Path, condition: str) -> Path:
    (folder / "own/mine.rego").write_text(OWN.format(condition=condition))
    return folder


@pytest.mark.parametrize("name", SLOW)
def test_a_pattern_of_a_rule_that_takes_forever_is_refused_with_file_line_and_remedy(
    folder: Path, name: str
) -> None:
    policies = _with_rule(folder, SLOW[name])
    mistakes = find_mistakes(read_policies(policies), policies)
    told = [(each.file, each.line) for each in mistakes if "a pattern" in each.what]
    assert told == [("own/mine.rego", 4)]
    with pytest.raises(
        BrokerError, match=r"^own/mine\.rego:4 gives `(glob|regex)\.\w+` a pattern "
    ) as refused:
        EmbeddedAuthorizer(policies)
    assert refused.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    assert refused.value.remedy


@pytest.mark.parametrize("condition", QUICK)
def test_a_pattern_that_is_quick_may_be_written(condition: str) -> None:
    assert list(slow_patterns(Module("m", OWN.format(condition=condition)))) == []


def test_no_shipped_rule_has_a_slow_pattern() -> None:
    assert [found for module in read_policies(POLICIES).modules for found in slow_patterns(module)] == []


@pytest.mark.parametrize("table", ["own", "fleet"])
def test_many_stars_in_data_of_ones_own_are_refused(folder: Path, table: str) -> None:
    (folder / table).mkdir(exist_ok=True)
    (folder / "schema/fleet.data.json").write_text('{"additionalProperties": {"type": "array"}}')
    (folder / f"{table}/data.json").write_text(json.dumps({"models": ["x", "a*a*a*a*b"]}, indent=1))
    told = [(each.file, each.line) for each in mistakes_in_data(read_policies(folder))]
    assert told == [(f"{table}/data.json", 4)]


def test_the_longest_names_and_the_worst_pattern_that_is_allowed_take_a_moment(folder: Path) -> None:
    data = json.loads((folder / "data.json").read_text())
    data["models"]["gpt-4o"]["patterns"] = ["a*a*a*b", "*a*a*b"]
    (folder / "data.json").write_text(json.dumps(data))
    authorizer = EmbeddedAuthorizer(folder)
    begun = time.thread_time()
    verdict = asyncio.run(authorizer.evaluate(DecisionPoint.CALLS, call(model="a" * 256)))
    assert isinstance(verdict.result, dict)
    assert verdict.result["rule"] == "model_not_granted"
    assert time.thread_time() - begun < 0.25  # two patterns, in each condition that looks


def test_more_patterns_than_can_be_tried_are_refused_with_line_and_remedy(folder: Path) -> None:
    with pytest.raises(BrokerError, match=r"roles\.assistant\.reaches\.patterns` has 17") as refused:
        reaching(folder, ["server:*"] * 17)
    assert "16 at most" in refused.value.remedy


@given(
    st.text("ab*", max_size=9).filter(lambda pattern: pattern.count("*") <= MAX_STARS),
    st.text("ab", max_size=9),
)
def test_patterns_of_policies_mean_the_same_in_the_engine_as_beside_it(pattern: str, text: str) -> None:
    asked = {"pattern": pattern, "text": text}
    assert (FITS.evaluate("probe/fits", asked) is True) == matches(pattern, text)


LONG = """
import asyncio, sys
from pathlib import Path
from broker.adapters.rego import EmbeddedAuthorizer
from broker.errors import BrokerError
from broker.ports import DecisionPoint
from tests.policy.documents import call

authorizer = EmbeddedAuthorizer(Path(sys.argv[1]))
asked = call()
asked["call"]["fields"] = ["a" * 100_000]
try:
    asyncio.run(authorizer.evaluate(DecisionPoint.CALLS, asked))
except BrokerError as error:
    print(error.message)
"""


def test_a_long_text_under_a_regular_expression_does_not_end_the_process(folder: Path) -> None:
    policies = _with_rule(folder, 'some field in input.call.fields\n\tregex.match("^[a-z]+-$", field)')
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(policies)],
        cwd=POLICIES.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "too large to be decided in time" in done.stdout
