"""`policies/schema` says what the pipeline builds and the policies answer: not a field more or less."""

from __future__ import annotations

import json

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.ports import DecisionPoint
from tests.policy.documents import call, deed, wish
from tests.policy.engines import POLICIES

INPUTS = {
    "calls": call(),
    "tokens": wish("assistant", ("chat", None)),
    "admin": deed("operator", "token.revoke"),
}


def _schema(name: str) -> dict[str, object]:
    loaded = json.loads((POLICIES / "schema" / f"{name}.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


def _differences(schema: dict[str, object], value: object, where: str) -> list[str]:
    """Fields that only one of the two knows, at any depth."""
    properties = schema.get("properties")
    if isinstance(value, dict) and isinstance(properties, dict):
        required = schema["required"]
        assert isinstance(required, list)
        found = [f"{where}.{name} is missing" for name in required if name not in value]
        for name, child in value.items():
            known = properties.get(name)
            found += (
                _differences(known, child, f"{where}.{name}") if known else [f"{where}.{name} is unknown"]
            )
        return found
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        return [each for child in value for each in _differences(items, child, f"{where}[]")]
    return []


@pytest.mark.parametrize("point", INPUTS)
def test_inputs_are_as_their_schema_says(point: str) -> None:
    assert _differences(_schema(f"{point}.input"), INPUTS[point], "input") == []


@pytest.mark.parametrize("point", INPUTS)
@pytest.mark.parametrize("known", [True, False])
async def test_results_are_as_their_schema_says(
    authorizer: EmbeddedAuthorizer, point: str, known: bool
) -> None:
    document = INPUTS[point] if known else {**INPUTS[point], "subject": {"id": "x", "actor_chain": []}}
    result = (await authorizer.evaluate(DecisionPoint(point), document)).result
    schema = _schema(f"{point}.result")
    kinds = schema.get("oneOf", [schema])
    assert isinstance(kinds, list)
    assert [] in [_differences(kind, result, "result") for kind in kinds]


def test_the_comparison_sees_a_typing_error() -> None:
    document = {**call(), "estimates": 1}
    assert _differences(_schema("calls.input"), document, "input") == ["input.estimates is unknown"]
