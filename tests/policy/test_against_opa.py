"""Decisions of the embedded engine and of OPA on the same documents: equal, field by field.

They need a real `opa` (`make servers`, or on PATH) and fail where there is none.
"""

from __future__ import annotations

import itertools
import subprocess

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.model.operation import AdminAction, Operation
from broker.ports import DecisionPoint
from tests.policy.documents import call, deed, wish
from tests.policy.engines import OPA, POINTS, POLICIES, UNDEFINED, cases, expressions, opa
from tests.policy.record_builtins import ask_opa

pytestmark = pytest.mark.servers

NAMES = ("assistant", "batch", "explorer", "operator", "auditor", "intruder")
MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4o-2024-08-06",
    "text-embedding-3-small",
    "omni-moderation-latest",
    None,
)
ODD: tuple[object, ...] = (
    "",
    "*",
    "gpt-4o*",
    'gpt"4o',
    "gpt\\4o",
    "gpt-4o\x00",
    "é😀",
    "ft:gpt-4o:acme::1",
    ["gpt-4o"],
    {},
    7,
    True,
)
RULES = (
    "secret.jwt",
    "pii.email",
    "pii.us_ssn",
    "topic.banned",
    "injection.phrase",
    "novel.rule",
    "bare",
    'q"uote.x',
)
SCOPES = (
    ("chat", None),
    ("chat", "*"),
    ("chat", "gpt-4*"),
    ("edits", "x"),
    ("embeddings", "*-small"),
    ("audit.read", "*"),
)


def _calls() -> list[dict[str, object]]:
    ordinary = [
        call(who, model, operation=op) for who, op, model in itertools.product(NAMES, Operation, MODELS)
    ]
    odd = [call(who, model) for who, model in itertools.product(("assistant", "explorer"), ODD)]
    found = [call(who, "gpt-4o", *rules) for who in NAMES[:3] for rules in itertools.combinations(RULES, 2)]
    return ordinary + odd + found


def _wishes() -> list[dict[str, object]]:
    asked = [*((scope,) for scope in SCOPES), *itertools.combinations(SCOPES, 2), ()]
    lives = [wish(who, ttl=ttl) for who in NAMES for ttl in (1, 60, 3600, 3601, 0, -5, 10**9)]
    return [wish(who, *scope) for who in NAMES for scope in asked] + lives


def _deeds() -> list[dict[str, object]]:
    return [deed(who, action) for who in NAMES for action in (*AdminAction, "policy.reload", "")]


DOCUMENTS = {"calls": _calls, "tokens": _wishes, "admin": _deeds}


def _ordered(value: object) -> object:
    """Sets become arrays in the order of the engine."""
    if isinstance(value, dict):
        return {key: _ordered(child) for key, child in value.items()}
    return sorted(value) if isinstance(value, list) else value


@pytest.mark.parametrize("point", POINTS)
async def test_decisions_are_equal(authorizer: EmbeddedAuthorizer, point: str) -> None:
    tabled = [case["input"] for case in cases(point).values()]
    documents = [*DOCUMENTS[point](), *(each for each in tabled if isinstance(each, dict)), {}]
    query = f"[d | some x in input; d := data.broker.{point}.decision with input as x]"
    theirs = opa("--bundle", str(POLICIES), query, document=documents)
    ours = [(await authorizer.evaluate(DecisionPoint(point), each)).result for each in documents]
    assert isinstance(theirs, list)
    assert len(theirs) == len(ours) > 30
    for document, mine, other in zip(documents, ours, theirs, strict=True):
        assert _ordered(mine) == _ordered(other), document


def test_recorded_answers_are_still_those_of_opa() -> None:
    assert {
        each: ask_opa(each) for each in itertools.islice(expressions(), 0, None, 8)
    }.items() <= expressions().items()


def test_opa_finds_nothing_to_improve() -> None:
    assert OPA is not None
    for words in (("check", "--strict", "--bundle"), ("test", "--bundle"), ("fmt", "--fail", "--list")):
        done = subprocess.run([OPA, *words, POLICIES], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_schemas_know_every_path_that_policies_read() -> None:
    assert OPA is not None
    words = [OPA, "check", "--strict", "--bundle", "--schema", str(POLICIES / "schema"), str(POLICIES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert UNDEFINED not in done.stdout
