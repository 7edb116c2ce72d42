"""Sets of models are asked beside the engine: no answer changes, and many patterns cost no more than one."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.policyfiles.source import Module, read_policies
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.compiled import RuleForm
from broker.adapters.rego.holding import extract
from broker.adapters.rego.proof import Proven, SlicingProof
from broker.model.namesets import NameSet, NameSets
from broker.model.wildcard import matches
from broker.ports import DecisionPoint
from tests.policy.documents import call
from tests.policy.engines import POLICIES

_texts = st.text("abé*", max_size=7)
_names = st.text("abé", max_size=9)
_sets = st.dictionaries(
    st.sampled_from("xyz"),
    st.builds(NameSet, st.lists(_texts, max_size=3), st.lists(_texts, max_size=6)),
    max_size=3,
)


@given(_sets, _names | _texts)
def test_a_set_holds_what_it_names_and_what_fits_one_of_its_patterns(
    sets: dict[str, NameSet], name: str
) -> None:
    holding = [
        own
        for own, each in sorted(sets.items())
        if name in each.exact or any(matches(pattern, name) for pattern in each.patterns)
    ]
    assert list(NameSets(sets).holding(name)) == holding


def _authorizer(folder: Path, form: RuleForm, *patterns: str) -> EmbeddedAuthorizer:
    """One whose assistant has these patterns for its chats."""
    policies = Path(shutil.copytree(POLICIES, folder / f"{form.name}{len(patterns)}"))
    data = json.loads((policies / "data.json").read_text())
    chosen = data["roles"]["assistant"]["operations"]["chat"]
    data["models"][chosen] = {"exact": {"gpt-4o": True}, "patterns": patterns}
    (policies / "data.json").write_text(json.dumps(data))
    return EmbeddedAuthorizer(
        policies, lambda source: Proven(SlicingProof(source.version.sha256, form, compared=1))
    )


def _spent(authorizer: EmbeddedAuthorizer, wanted: str, *models: str) -> float:
    """Seconds of a decision about one of these models, at best."""
    spent = []
    for model in models:
        asked = call(model=model)
        begun = time.thread_time()
        verdict = asyncio.run(authorizer.evaluate(DecisionPoint.CALLS, asked))
        spent.append(time.thread_time() - begun)
        assert isinstance(verdict.result, dict)
        assert verdict.result["rule"] == wanted
    return min(spent)


def test_a_thousand_patterns_cost_a_call_no_more_than_one(tmp_path: Path) -> None:
    """400 held a call up for 38 ms, and all other callers with it."""
    one = _authorizer(tmp_path, RuleForm.SLICED, "*a0*b")
    many = _authorizer(tmp_path, RuleForm.SLICED, *(f"*a{number}*b" for number in range(1000)))
    last = [f"a999{'a' * number}b" for number in range(200, 205)]
    first = [f"a0{'a' * number}b" for number in range(200, 205)]
    assert _spent(many, "granted", *last) < 5 * _spent(one, "granted", *first)


PATTERNS = ("gpt-4o-*", "*mini*", "o*-*w*", "*", "a*b", "o1", "é*")
MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "o1-preview",
    "o-w",
    "é",
    "",
    "*",
    "ab",
    "a-b",
    "o1",
    'q"x',
    "a\nb",
    None,
    7,
)


@pytest.mark.parametrize("form", [RuleForm.SLICED, RuleForm.LOOKUPS])
@pytest.mark.parametrize("chosen", [PATTERNS[:3], PATTERNS[3:4], PATTERNS[4:], ()])
async def test_what_is_asked_beside_the_engine_is_answered_as_within(
    tmp_path: Path, form: RuleForm, chosen: tuple[str, ...]
) -> None:
    beside, within = (_authorizer(tmp_path, each, *chosen) for each in (form, RuleForm.WHOLE))
    for model in MODELS:
        asked = call(model=model)
        for one, other in ((beside.evaluate, within.evaluate), (beside.explain, within.explain)):
            ours, theirs = await one(DecisionPoint.CALLS, asked), await other(DecisionPoint.CALLS, asked)
            assert ours.result == theirs.result, model


def _with(name: str, text: str) -> list[Module]:
    return [Module(name, text), *(each for each in read_policies(POLICIES).modules if each.name != name)]


ASKING = """package broker.own

import data.broker.grants

r if grants.holds(data.models[input.x], input.call.model)
"""
TABLE: dict[str, object] = {"models": {"a": {"exact": {"x": True}, "patterns": ["y*"]}}}


def test_a_question_is_looked_up_where_it_stands() -> None:
    (own, *_), _, (sets,) = extract(_with("own/mine.rego", ASKING), TABLE)
    assert own.text == ASKING.replace(
        "grants.holds(data.models[input.x], input.call.model)",
        'input["data.models that hold input.call.model"][input.x]',
    )
    assert sets.entry({"call": {"model": "yes"}}) == {"a": True}
    assert sets.entry({"call": {"model": "no"}}) is None
    assert sets.entry({"call": {"model": 7}}) is None


@pytest.mark.parametrize(
    "table",
    [
        [],
        {"a": {"exact": {}, "patterns": ["a*b*c*d*e"]}},
        {"a": {"exact": {}, "patterns": ["a[bc]"]}},
        {"a": {"exact": {}, "patterns": [7]}},
        {"a": {"exact": {"x": False}, "patterns": []}},
        {"a": {"exact": {}}},
        {"a": 1},
    ],
)
def test_a_table_of_another_form_is_left_to_the_engine(table: object) -> None:
    modules = _with("own/mine.rego", ASKING)
    assert extract(modules, {"models": table}) == (modules, {"models": table}, [])


def test_where_an_author_has_changed_what_it_means_to_hold_the_engine_is_asked() -> None:
    changed = (POLICIES / "grants.rego").read_text().replace("< 3", "< 2")
    modules = _with("grants.rego", changed)
    assert extract(modules, TABLE) == (modules, TABLE, [])
    assert extract(_with("grants.rego", changed.replace("< 2", "< 3") + "# more\n"), TABLE)[2]
