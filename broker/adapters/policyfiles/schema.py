"""The schemas of `policies/schema`: which fields an input has.

Knows: the part of JSON Schema that they use. Must not know: rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker import strictjson
from broker.adapters.policyfiles.source import unusable

FieldPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema, as the tree that its file holds."""

    tree: Mapping[str, object] = field(repr=False)

    def unknown(self, path: FieldPath) -> tuple[FieldPath, frozenset[str]] | None:
        """The beginning of `path` that ends with the first field the schema does not have, and the fields
        that stand there; None where it has them all, or says nothing about them.

        >>> schema = Schema({"properties": {"call": {"properties": {"model": {"type": "string"}}}}})
        >>> schema.unknown(("call", "modell")), schema.unknown(("call", "model"))
        ((('call', 'modell'), frozenset({'model'})), None)
        """
        node: object = self.tree
        for place, name in enumerate(path):
            properties = _object(node).get("properties")
            if not isinstance(properties, dict):
                return None if _is_open(node) else (path[: place + 1], frozenset())
            if name not in properties:
                return path[: place + 1], frozenset(properties)
            node = properties[name]
        return None


def read_schemas(policies: Path) -> dict[str, Schema]:
    """By name, as annotations give it (`calls.input`). Raises POLICY_ENGINE_UNAVAILABLE, naming the file."""
    schemas = {}
    for path in sorted((policies / "schema").glob("*.json")):
        try:
            tree = strictjson.parse(path.read_bytes(), bounds=None)
        except (OSError, strictjson.StrictJsonError):
            tree = None
        if not isinstance(tree, dict):
            raise unusable(f"schema/{path.name} is not a JSON object.", "Restore it from the release.")
        schemas[path.stem] = Schema(tree)
    return schemas


def _is_open(node: object) -> bool:
    """Whether anything may stand below: an object without named fields."""
    return "additionalProperties" in _object(node) or not _object(node)


def _object(node: object) -> Mapping[str, object]:
    return node if isinstance(node, dict) else {}
