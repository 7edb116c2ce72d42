"""What the model of the settings has at a place: its keys, and what a value there is made of.

Knows: how sections nest: tables, tables by name, lists of tables. Must not know: any setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args, get_origin

from broker.config.problem import Steps
from broker.config.section import Section

_TABLES = (dict, tuple)


def annotation_at(model: type[Section], at: Steps) -> Any:
    """What a value at this place is made of; None where the model has no such place."""
    here: Any = model
    for step in at:
        here = _below(here, step)
    return here


def keys_at(model: type[Section], at: Steps) -> tuple[str, ...]:
    """The keys that a table there may have; none where they are the operator's to choose."""
    section = annotation_at(model, at)
    return tuple(section.model_fields) if is_section(section) else ()


def places_of(model: type[Section], key: str) -> Iterator[str]:
    """Each section of the top that has this key, as `section.key`."""
    for name in model.model_fields:
        if key in keys_at(model, (name,)):
            yield f"{name}.{key}"


def is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def is_composed(annotation: Any) -> bool:
    """Whether it has values inside: a section, a table or a list."""
    return is_section(annotation) or get_origin(annotation) in _TABLES


def section_in(annotation: Any) -> type[Section] | None:
    """The section that it is, or that its tables by name or its list of tables are."""
    inner = annotation
    if get_origin(annotation) in _TABLES:
        inner = get_args(annotation)[1 if get_origin(annotation) is dict else 0]
    return inner if is_section(inner) else None


def _bare(annotation: Any) -> Any:
    """Without the None of an optional value."""
    choices = [each for each in get_args(annotation) if each is not NoneType]
    return choices[0] if NoneType in get_args(annotation) and len(choices) == 1 else annotation


def _below(annotation: Any, step: str | int) -> Any:
    if is_section(annotation):
        field = annotation.model_fields.get(step)
        return _bare(field.annotation) if field is not None else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return get_args(annotation)[0] if get_origin(annotation) is tuple else None
