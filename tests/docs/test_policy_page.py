"""policies/README.md names every key of the data and every field of the inputs, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from broker.prefilter.rules import rules
from tests.docs.pages import POLICIES

TEXT = POLICIES.read_text()
SCHEMAS = POLICIES.parent / "schema"
BASE = json.loads((SCHEMAS / "base.data.json").read_text())
POINTS = ("calls", "tokens", "admin")
Row = tuple[str, ...]


def _rows(marker: str) -> list[Row]:
    """The table behind `<!-- marker -->`, without its head."""
    _, found, rest = TEXT.partition(f"<!-- {marker} -->\n")
    assert found, f"policies/README.md has no table <!-- {marker} -->"
    lines = rest.partition("\n<!-- end -->")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]


def _name(cell: str) -> str:
    return cell.strip("`")


def _closed(node: Any) -> Iterator[Any]:
    """Every object of a schema that says which keys it has."""
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield node
        for child in node.values():
            yield from _closed(child)
    elif isinstance(node, list):
        for child in node:
            yield from _closed(child)


def _title(node: Any) -> str:
    return str(node["title"]).partition(", ")[0]


def test_every_closed_object_of_the_data_has_its_table_and_no_other_is_there() -> None:
    tables = re.findall(r"^<!-- keys: (.+) -->$", TEXT, re.MULTILINE)
    assert sorted(tables) == sorted(_title(node) for node in _closed(BASE))


def test_every_key_has_a_row_with_a_meaning_and_a_default_and_no_other_is_there() -> None:
    for node in _closed(BASE):
        rows = _rows(f"keys: {_title(node)}")
        assert sorted(_name(key) for key, *_ in rows) == sorted(node["properties"]), _title(node)
        assert all(meaning and default for _, meaning, default in rows), _title(node)


def test_what_is_required_is_said_to_be() -> None:
    for node in _closed(BASE):
        always, sometimes = set(node.get("required", ())), set(node.get("then", {}).get("required", ()))
        said = {_name(key): default for key, _, default in _rows(f"keys: {_title(node)}")}
        assert {key for key, default in said.items() if "**required**" in default} == always | sometimes
        assert {key for key in sometimes if "with an operation" not in said[key]} == set()


def test_every_choice_is_named() -> None:
    for node in _closed(BASE):
        meanings = {_name(key): meaning for key, meaning, _ in _rows(f"keys: {_title(node)}")}
        for key, child in node["properties"].items():
            for choice in child.get("enum", ()):
                assert f"`{choice}`" in meanings[key], (key, choice)


def test_every_field_of_the_inputs_has_a_row_that_says_which_decision_reads_it() -> None:
    fields: dict[str, set[str]] = {}
    for point in POINTS:
        schema = json.loads((SCHEMAS / f"{point}.input.json").read_text())
        for path in _paths(schema, ""):
            fields.setdefault(path, set()).add(point)
    said = {_name(field): of for field, of, _ in _rows("inputs")}
    assert said == {
        path: "all" if len(of) == len(POINTS) else ", ".join(sorted(of)) for path, of in fields.items()
    }


def _paths(node: Any, path: str) -> Iterator[str]:
    """Where values are that are no closed objects themselves."""
    if "properties" in node:
        for name, child in node["properties"].items():
            yield from _paths(child, f"{path}.{name}".removeprefix("."))
    elif node.get("type") == "array" and "properties" in node.get("items", {}):
        yield from _paths(node["items"], f"{path}[]")
    else:
        yield path


def test_every_content_rule_has_a_row_with_its_severity() -> None:
    told = [(_name(rule), severity) for rule, severity, _ in _rows("rules")]
    assert told == [(rule.id, rule.severity.value) for rule in rules(("a topic",))]
