"""Each value against its setting: the settings, or everything that is wrong with them.

Knows: pydantic's errors, and how to keep what is right of settings of which a part is wrong, so that all
other rules can be judged, too. Must not know: any setting, files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, TypeVar, cast, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from broker.config.fields import keys_at, places_of, section_in
from broker.config.problem import SettingFault, Steps, dotted
from broker.config.section import Section, UnknownValueError

Model = TypeVar("Model", bound=Section)
Rule = Callable[[Model], Iterator[SettingFault]]
_OURS = "Value error, "  # what pydantic puts before a message of ours
_NAME_ITSELF = "[key]"  # what it puts behind a name of a table that is wrong
_KINDS = {
    "model_type": "not a table",
    "dict_type": "not a table",
    "tuple_type": "not a list",
}  # in TOML's words


def judged(model: type[Model], values: Mapping[str, Any]) -> tuple[Model, list[SettingFault]]:
    """The settings, and each value that is wrong. A setting that is wrong or missing is not in them: asking
    for it raises UnknownValueError.
    """
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        faults = [_fault(model, each) for each in error.errors(include_input=False, include_url=False)]
    return _right_of(model, values, {fault.at for fault in faults}, ()), faults


def rule_faults(rules: Iterable[Rule[Model]], settings: Model) -> Iterator[SettingFault]:
    """What the rules find. One that asks for a setting that is itself wrong is not judged: that is told."""
    for rule in rules:
        with suppress(UnknownValueError):
            yield from rule(settings)


def _fault(model: type[Section], error: ErrorDetails) -> SettingFault:
    at = tuple(step for step in error["loc"] if step != _NAME_ITSELF)
    if error["type"] == "extra_forbidden":
        return _unknown(model, at)
    if error["type"] == "missing":
        return SettingFault(at, "missing", "It has no default.")
    return SettingFault(at, _KINDS.get(error["type"]) or error["msg"].removeprefix(_OURS))


def _unknown(model: type[Section], at: Steps) -> SettingFault:
    *above, name = at
    known = keys_at(model, tuple(above))
    what = "no such setting" if above else "no such section"
    near = get_close_matches(str(name), known, n=1)
    elsewhere = [] if near else list(places_of(model, str(name)))
    meant = " or ".join([*near, *elsewhere])
    return SettingFault(at, what, f"Did you mean {meant}?" if meant else f"Known here: {', '.join(known)}.")


def _right_of(model: type[Model], values: Mapping[str, Any], wrong: Collection[Steps], at: Steps) -> Model:
    """What is right of a section; defaults stand for what is not given."""
    made = cast("Model", model.model_construct(_fields_set=set(values)))
    for name, field in model.model_fields.items():
        here = (*at, name)
        if here in wrong or name in values:
            made.__dict__.pop(name, None)
        if here not in wrong and name in values:
            with suppress(UnknownValueError):
                made.__dict__[name] = _kept(field, values[name], wrong, here)
    return made


def _kept(field: FieldInfo, value: Any, wrong: Collection[Steps], at: Steps) -> Any:
    """The value, or what is right of its tables. Raises UnknownValueError where it is one value and wrong."""
    if all(each[: len(at)] != at for each in wrong):
        return TypeAdapter(field.rebuild_annotation()).validate_python(value)
    section = section_in(field.annotation)
    if section is None:
        raise UnknownValueError(dotted(at))
    kind = get_origin(field.annotation)
    if kind not in (dict, tuple):
        return _right_of(section, value, wrong, at)
    items = value.items() if kind is dict else enumerate(value)
    kept = {
        key: _right_of(section, each, wrong, (*at, key)) for key, each in items if (*at, key) not in wrong
    }
    return kept if kind is dict else tuple(kept.values())
