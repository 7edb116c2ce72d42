"""Documents of the `openai` package's own types, each with one marked string: no list of ours says where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

MARK = "\0mark"
_DEPTH = 9


def marked(kind: Any, depth: int = 0, seen: frozenset[Any] = frozenset()) -> Iterator[object]:
    """Values of this type, each with MARK at another of its strings, object keys included."""
    origin = get_origin(kind)
    if depth > _DEPTH or kind in seen:
        return
    if origin is Annotated:
        yield from marked(get_args(kind)[0], depth, seen)
    elif origin in (Union, UnionType):
        for choice in get_args(kind):
            yield from marked(choice, depth, seen)
    elif kind in (str, object, Any) or origin is Literal:
        yield MARK
    elif origin is list:
        yield from ([value] for value in marked(get_args(kind)[0], depth + 1, seen))
    elif origin in (dict, Mapping) or kind is dict:
        yield {MARK: "x"}
        yield from ({"x": value} for value in marked((get_args(kind) or (str, object))[1], depth + 1, seen))
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _marked_members(kind, depth, seen | {kind})


def _marked_members(kind: type[BaseModel], depth: int, seen: frozenset[Any]) -> Iterator[object]:
    plain = least(kind)
    assert isinstance(plain, dict)
    for name, member in kind.model_fields.items():
        for value in marked(member.annotation, depth + 1, seen):
            yield {**plain, (member.alias or name): value}
    yield {**plain, "a_field_of_tomorrow": MARK}


def least(kind: Any) -> object:
    """The smallest value of this type."""
    origin = get_origin(kind)
    if origin is Annotated:
        return least(get_args(kind)[0])
    if origin in (Union, UnionType):
        return None if NoneType in get_args(kind) else least(get_args(kind)[0])
    if origin is Literal:
        return get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        required = ((name, member) for name, member in kind.model_fields.items() if member.is_required())
        return {member.alias or name: least(member.annotation) for name, member in required}
    return {str: " ", object: " ", int: 0, float: 0.5, bool: False, list: [], dict: {}}.get(origin or kind)


def spelled(value: object, text: str) -> object:
    """The value with `text` where the mark is."""
    if isinstance(value, dict):
        return {spelled(name, text): spelled(member, text) for name, member in value.items()}
    if isinstance(value, list):
        return [spelled(item, text) for item in value]
    return text if value == MARK else value
