"""Calls of the tools a request offers, with arguments that fit their schema.

Knows: JSON schema's required properties. Must not know: which API's reply the call goes into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is a JSON object, serialised."""

    name: str
    arguments: str


def called(document: Mapping[str, object], echo: str) -> ToolCall | None:
    """The call that `tool_choice` demands: of the function it names, or for `required` of the first one."""
    choice = document.get("tool_choice")
    offered = document.get("tools")
    if not isinstance(offered, list) or not (choice == "required" or isinstance(choice, Mapping)):
        return None
    functions = [_function(tool) for tool in offered]
    wanted = _function(choice).get("name") if isinstance(choice, Mapping) else None
    for function in functions:
        name = function.get("name")
        if isinstance(name, str) and wanted in (None, name):
            return ToolCall(name, orjson.dumps(_arguments(function.get("parameters"), echo)).decode())
    return None


def _function(tool: object) -> Mapping[str, object]:
    """Chat nests `function` in the tool; responses do not."""
    if not isinstance(tool, Mapping):
        return {}
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def _arguments(parameters: object, echo: str) -> dict[str, object]:
    if not isinstance(parameters, Mapping):
        return {}
    required, properties = parameters.get("required"), parameters.get("properties")
    if not isinstance(required, list) or not isinstance(properties, Mapping):
        return {}
    return {name: _value(properties.get(name), echo) for name in required if isinstance(name, str)}


def _value(schema: object, echo: str) -> object:
    if not isinstance(schema, Mapping):
        return None
    allowed = schema.get("enum")
    if isinstance(allowed, list) and allowed:
        return allowed[0]
    by_type: dict[object, object] = {
        "string": echo,
        "integer": 7,
        "number": 7.5,
        "boolean": True,
        "array": [],
        "object": {},
    }
    kind = schema.get("type")
    return by_type.get(kind) if isinstance(kind, str) else None
