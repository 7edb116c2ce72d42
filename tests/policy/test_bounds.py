"""A bound of a role holds for calls that leave out what it bounds: each key of the schema, each operation."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.listeners.fields import OPTIONAL, REQUIRED
from broker.model.answers import parse_call_decision
from broker.model.operation import TRAITS, Operation
from broker.ports import DecisionPoint
from tests.policy.documents import call
from tests.policy.engines import POLICIES, WITH_FIXTURE

BOUNDS: dict[str, dict[str, Any]] = json.loads((POLICIES / "schema/base.data.json").read_text())[
    "definitions"
]["bounds"]["properties"]
PLACES = {"a ceiling": ("requires", "ceilings"), "a cap": ("shape", "caps")}
_SAMPLED = frozenset({"chat", "completions", "edits", "responses"})
# The operations whose body has the field, and where OpenAI takes something though a call says nothing of it.
TAKEN = {
    "max_tokens": _SAMPLED,
    "temperature": _SAMPLED,
    "top_p": _SAMPLED,
    "n": _SAMPLED - {"responses"},
    "best_of": {"completions"},
    "frequency_penalty": {"chat", "completions"},
    "presence_penalty": {"chat", "completions"},
    "dimensions": {"embeddings"},
    "max_tool_calls": {"responses"},
}
NOTHING_TAKEN = {"logprobs", "top_logprobs", "seed"}
MANY = 16384


def test_it_is_known_of_every_bound_what_openai_takes_where_it_is_left_out() -> None:
    assert set(BOUNDS) == set(TAKEN) | NOTHING_TAKEN


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedAuthorizer:
    """Roles that may do everything, each bounded in one respect and granted to who is called after it."""
    folder = Path(shutil.copytree(WITH_FIXTURE, tmp_path_factory.mktemp("bounds") / "policies"))
    data = json.loads((folder / "data.json").read_text())
    everything = {**data["roles"]["explorer"], "reaches": {"exact": {}, "patterns": ["*"]}}
    for (place, (outer, inner)), name in itertools.product(PLACES.items(), BOUNDS):
        role = _role(place, name)
        data["roles"][role] = {**everything, outer: {inner: {name: BOUNDS[name]["minimum"]}}}
        data["grants"][f"spiffe://dev.broker/ns/demo/sa/{role}"] = {"role": role}
    (folder / "data.json").write_text(json.dumps(data))
    return EmbeddedAuthorizer(folder)


def _role(place: str, name: str) -> str:
    return f"{place.rpartition(' ')[2]}-{name.replace('_', '-')}"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", BOUNDS)
async def test_a_bound_holds_for_a_call_that_does_not_name_it(
    bounded: EmbeddedAuthorizer, name: str, place: str
) -> None:
    """A role with `requires.ceilings.max_tokens` alone let a call that named none produce all it could."""
    lowest = BOUNDS[name]["minimum"]
    for operation in Operation:
        document: Any = call(_role(place, name), operation=operation.value, tokens_out=MANY)
        document["call"] |= {"parameters": {}, "fields": ["model", "tools"]}
        evaluation = await bounded.evaluate(DecisionPoint.CALLS, document)
        decision = parse_call_decision(evaluation.result, evaluation.policy)
        assert decision.allow, operation
        field = _field(operation) if name == "max_tokens" else name
        expected = {field: lowest} if operation.value in TAKEN.get(name, ()) else {}
        assert {each: value for each, value in decision.shape.set.items() if each != "store"} == expected


def _field(operation: Operation) -> str:
    return next(iter(TRAITS[operation].bounds), "max_completion_tokens")  # an edit is performed by a chat


def test_every_operation_that_has_a_bound_of_output_is_bounded() -> None:
    bounded = {operation.value for operation in Operation if TRAITS[operation].bounds}
    assert bounded | {"edits"} == TAKEN["max_tokens"]


def test_the_rules_force_the_user_wherever_a_body_takes_one() -> None:
    """An operation that is missing there would go up with whatever user its caller names."""
    listed = re.search(r"^knows_user := (\{.*\})$", (POLICIES / "shape.rego").read_text(), re.MULTILINE)
    assert listed
    taking = {each for each in Operation if "user" in {*OPTIONAL.get(each, ()), *REQUIRED.get(each, ())}}
    assert set(re.findall(r'"([\w.]+)"', listed[1])) == {each.value for each in taking}
