"""Decisions and explanations of the embedded engine and of OPA on the same documents: equal, field by field.

They need a real `opa` (`make servers`, or on PATH) and fail where there is none.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.model.operation import AdminAction, Operation
from broker.ports import DecisionPoint
from tests.policy.documents import call, deed, wish
from tests.policy.engines import (
    OPA,
    POLICIES,
    TABLES,
    UNDEFINED,
    WITH_FIXTURE,
    cases,
    expressions,
    opa,
    ordered,
)
from tests.policy.generated import MODELS, NAMES, RULES, Generator
from tests.policy.record_builtins import ask_opa
from tests.sizes import sized

pytestmark = pytest.mark.servers

GENERATED = sized(500, 10_000)
SCOPES = (
    ("chat", None),
    ("chat", "*"),
    ("chat", "gpt-4*"),
    ("edits", "x"),
    ("embeddings", "*-small"),
    ("audit.read", "*"),
)
QUERY = """{point: answers |
    some point in ["calls", "tokens", "admin"]
    answers := [{"decision": d, "explanation": e} |
        some x in input[point]
        d := data.broker[point].decision with input as x
        e := data.broker[point].explanation with input as x
    ]
}"""

Document = dict[str, object]


def _calls() -> list[Document]:
    ordinary = [
        call(who, model, operation=op) for who, op, model in itertools.product(NAMES, Operation, MODELS)
    ]
    found = [call(who, "gpt-4o", *rules) for who in NAMES[:3] for rules in itertools.combinations(RULES, 2)]
    return ordinary + found


def _wishes() -> list[Document]:
    asked = [*((scope,) for scope in SCOPES), *itertools.combinations(SCOPES, 2), ()]
    lives = [wish(who, ttl=ttl) for who in NAMES for ttl in (1, 60, 3600, 3601, 0, -5, 10**9)]
    return [wish(who, *scope) for who in NAMES for scope in asked] + lives


def _deeds() -> list[Document]:
    return [deed(who, action) for who in NAMES for action in (*AdminAction, "policy.reload", "")]


def _documents() -> Mapping[str, list[Document]]:
    """By decision point: every combination that matters, every table, and as many generated ones."""
    some = Generator()
    generated = {
        "calls": list(some.calls(GENERATED * 6 // 10, odd=0)),
        "tokens": list(some.wishes(GENERATED * 3 // 10, odd=0)),
        "admin": list(some.deeds(GENERATED // 10, odd=0)),
    }
    listed = {"calls": _calls(), "tokens": _wishes(), "admin": _deeds()}
    documents = {point: [*listed[point], *generated[point], {}] for point in listed}
    for table, point in TABLES.items():
        documents[point] += [
            case["input"] for case in cases(table).values() if isinstance(case["input"], dict)
        ]
    return documents


async def test_decisions_and_explanations_are_equal(authorizer: EmbeddedAuthorizer) -> None:
    documents = _documents()
    assert sum(map(len, documents.values())) > GENERATED + 1000
    theirs = opa("--bundle", str(WITH_FIXTURE), QUERY, document=documents)
    assert isinstance(theirs, dict)
    for point, asked in documents.items():
        assert len(theirs[point]) == len(asked)
        for document, other in zip(asked, theirs[point], strict=True):
            decided = await authorizer.evaluate(DecisionPoint(point), document)
            explained = await authorizer.explain(DecisionPoint(point), document)
            ours: dict[str, object] = {"decision": decided.result, "explanation": explained.result}
            assert ordered(ours) == ordered(other), json.dumps(document)


def test_recorded_answers_are_still_those_of_opa() -> None:
    assert {
        each: ask_opa(each) for each in itertools.islice(expressions(), 0, None, 8)
    }.items() <= expressions().items()


def test_opa_finds_nothing_to_improve() -> None:
    assert OPA is not None
    for words in (
        ("check", "--strict", "--bundle"),
        ("test", "--bundle", "--timeout", "60s"),
        ("fmt", "--fail", "--list"),
    ):
        done = subprocess.run([OPA, *words, POLICIES], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_reach_every_rule() -> None:
    assert OPA is not None
    words = [OPA, "test", "--bundle", "--timeout", "60s", "--coverage", str(POLICIES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    missed = {name: found["not_covered"] for name, found in report["files"].items() if "not_covered" in found}
    assert (missed, report["coverage"]) == ({}, 100)


def test_every_policy_has_its_tests() -> None:
    rules = {path.stem for path in POLICIES.glob("*.rego") if not path.stem.endswith("_test")}
    assert {f"{name}_test" for name in rules} <= {path.stem for path in POLICIES.glob("*_test.rego")}


def test_schemas_know_every_path_that_policies_read() -> None:
    assert OPA is not None
    words = [OPA, "check", "--strict", "--bundle", "--schema", str(POLICIES / "schema"), str(POLICIES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert UNDEFINED not in done.stdout
