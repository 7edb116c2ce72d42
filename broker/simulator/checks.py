"""Checks of one JSON value, each refusing in OpenAI's words (`Invalid type for …`, code `invalid_type`, …).

Knows: types, ranges and how OpenAI names them. Must not know: any particular request body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from broker.simulator.api_error import ApiError

Check = Callable[[object, str], None]
"""Takes the value and its place (`messages[0].role`); raises ApiError 400."""
_TYPE_NAMES: Mapping[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
}


def type_name(value: object) -> str:
    """OpenAI's word for a JSON value's type."""
    return _TYPE_NAMES.get(type(value), "an object")


def wrong_type(place: str, expected: str, value: object) -> ApiError:
    message = f"Invalid type for '{place}': expected {expected}, but got {type_name(value)} instead."
    return ApiError(400, message, param=place, code="invalid_type")


def missing(place: str) -> ApiError:
    return ApiError(
        400, f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter"
    )


def number(low: float, high: float) -> Check:
    """An integer or decimal in [low, high]."""

    def check(value: object, place: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(place, "a decimal", value)
        _in_range(value, place, "decimal", low, high)

    return check


def integer(low: int | None = None, high: int | None = None) -> Check:
    """An integer in [low, high]."""

    def check(value: object, place: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(place, "an integer", value)
        _in_range(value, place, "integer", low, high)

    return check


def _in_range(value: float, place: str, noun: str, low: float | None, high: float | None) -> None:
    if low is not None and value < low:
        bound, code, side, limit = "below minimum", "below_min", ">=", low
    elif high is not None and value > high:
        bound, code, side, limit = "above maximum", "above_max", "<=", high
    else:
        return
    message = (
        f"Invalid '{place}': {noun} {bound} value. Expected a value {side} {limit}, but got {value} instead."
    )
    raise ApiError(400, message, param=place, code=f"{noun}_{code}_value")


def boolean(value: object, place: str) -> None:
    if not isinstance(value, bool):
        raise wrong_type(place, "a boolean", value)


def string(longest: int | None = None) -> Check:
    """A string of at most `longest` characters."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(place, "a string", value)
        if longest is not None and len(value) > longest:
            message = (
                f"Invalid '{place}': string too long. Expected a string with maximum length {longest}, "
                f"but got a string with length {len(value)} instead."
            )
            raise ApiError(400, message, param=place, code="string_above_max_length")

    return check


def one_of(*values: str) -> Check:
    """One of some strings."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(place, "one of " + _quoted(values, "or"), value)
        if value not in values:
            message = f"Invalid value: '{value}'. Supported values are: {_quoted(values, 'and')}."
            raise ApiError(400, message, param=place, code="invalid_value")

    return check


def _quoted(values: tuple[str, ...], conjunction: str) -> str:
    names = [f"'{value}'" for value in values]
    return ", ".join(names[:-1]) + f", {conjunction} {names[-1]}" if len(names) > 1 else names[0]


def array(of: Check, nouns: str, *, shortest: int = 0, longest: int | None = None) -> Check:
    """An array of `nouns`, each item checked by `of`."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(place, f"an array of {nouns}", value)
        if len(value) < shortest:
            message = (
                f"Invalid '{place}': empty array. Expected an array with minimum length {shortest}, "
                "but got an empty array instead."
            )
            raise ApiError(400, message, param=place, code="empty_array")
        if longest is not None and len(value) > longest:
            message = (
                f"Invalid '{place}': array too long. Expected an array with maximum length {longest}, "
                f"but got an array with length {len(value)} instead."
            )
            raise ApiError(400, message, param=place, code="array_above_max_length")
        for index, item in enumerate(value):
            of(item, f"{place}[{index}]")

    return check


def either(expected: str, *, string: Check | None = None, array: Check | None = None) -> Check:
    """A value whose JSON type chooses its check; objects and scalars are of no allowed type."""

    def check(value: object, place: str) -> None:
        chosen = string if isinstance(value, str) else array if isinstance(value, list) else None
        if chosen is None:
            raise wrong_type(place, expected, value)
        chosen(value, place)

    return check


def mapping(of: Check, *, longest: int | None = None) -> Check:
    """An object with free keys, each value checked by `of`."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(place, "an object", value)
        if longest is not None and len(value) > longest:
            message = f"Invalid '{place}': too many properties. Expected an object with at most {longest}."
            raise ApiError(400, message, param=place, code="object_above_max_properties")
        for key, item in value.items():
            of(item, f"{place}.{key}")

    return check


def fields(known: Mapping[str, Check], *required: str) -> Check:
    """An object with named fields. Unknown fields are let through and null counts as absent: a newer
    OpenAI than this simulator may know them, and whoever stands between must not drop them.
    """

    def check(value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(place, "an object", value)
        prefix = f"{place}." if place else ""
        for name in required:
            if value.get(name) is None:
                raise missing(prefix + name)
        for name, item in value.items():
            of = known.get(name)
            if of is not None and item is not None:
                of(item, prefix + name)

    return check


def closed_fields(known: Mapping[str, Check], *required: str) -> Check:
    """An object with named fields and no others."""
    of = fields(known, *required)

    def check(value: object, place: str) -> None:
        of(value, place)
        for name in value if isinstance(value, dict) else ():
            if name not in known:
                raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")

    return check
