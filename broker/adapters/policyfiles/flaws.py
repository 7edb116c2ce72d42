"""What is wrong in data, at which place of it, and the words in which it is told.

Knows: JSON values, and where a schema says in words what it means. Must not know: keywords, files and lines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson

from broker.adapters.policyfiles.dialect import did_you_mean

Place = tuple[str | int, ...]
Node = Mapping[str, object]
_LISTED = 12  # names told where none is close
_WORDS = {"object": "an object", "array": "a list", "string": "a text", "boolean": "true or false"}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong at a place of the document, and what to do about it."""

    place: Place
    what: str
    remedy: str


def unknown(place: Place, title: str, known: Collection[str], value: object) -> Flaw:
    """A key that no field is called."""
    what = f"{told(place)} is no field of {title}."
    return Flaw(place, what, instead(str(place[-1]), known, "") if value is not None else "Remove it.")


def instead(name: str, choices: Collection[str], say: str, otherwise: str = "") -> str:
    """What is spelt almost like it; otherwise what there is."""
    close = did_you_mean(name, choices)
    if not close and (few := sorted(choices)[:_LISTED]):
        more = " …" if len(choices) > len(few) else ""
        close = f"It may be {', '.join(few)}{more}."
    elif not close:
        close = f"Write {say}." if say else ""
    return f"{close} {otherwise}".strip() or "Remove it."


def meaning(node: Node) -> str:
    """What belongs there, in words."""
    said = node.get("x-say", node.get("description"))
    return str(said) if said else _WORDS.get(str(node.get("type")), "a whole number")


def kind_of(value: object) -> str:
    """What is there, where something of another type belongs."""
    if isinstance(value, bool) or value is None or isinstance(value, int | float):
        return brief(value)
    if isinstance(value, str):
        return f"the text {brief(value)}"
    return _WORDS["array" if isinstance(value, list) else "object"]


def told(place: Place) -> str:
    """The place, as it is told.

    >>> told(("roles", "clerk", "windows", 0, "from"))
    '`roles.clerk.windows[0].from`'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"`{text.removeprefix('.')}`" if place else "The data"


def brief(value: object) -> str:
    """A value as JSON, the beginning of a long one."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = "a number too large"
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - what a line has room for


def as_object(value: object) -> dict[str, object]:
    """The object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """The list; an empty one for anything else."""
    return value if isinstance(value, list) else []
