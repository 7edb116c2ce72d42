"""Mistakes in the data of policies: each with its file, its line and what to do. What is mistaken never
rules.

Knows: which schema describes which table, and where a table stands. Must not know: what a table is for. The
rule: a table is described by `schema/base.data.json`, by a `schema/<table>.data.json` of its own, or it is
`own`, whose contents are free. A folder without `schema/base.data.json` is held to the one that the broker
came with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

from broker import strictjson
from broker.adapters.policyfiles.dataschema import DataSchema
from broker.adapters.policyfiles.dialect import did_you_mean
from broker.adapters.policyfiles.flaws import Flaw, Place
from broker.adapters.policyfiles.jsonlines import Lines, lines_of
from broker.adapters.policyfiles.known import known_names
from broker.adapters.policyfiles.lint import Mistake
from broker.adapters.policyfiles.patterns import MAX_LENGTH, MAX_STARS, is_slow
from broker.adapters.policyfiles.source import PolicySource, shipped_policies, unusable

FREE = "own"
"""The table whose contents nobody but its author knows."""
_BASE = "base"
_MOST_TOLD = 1000
_WORKED_OUT = "fixture_test.rego"  # where data without a file comes from


def refuse_mistaken(source: PolicySource) -> None:
    """Raises POLICY_ENGINE_UNAVAILABLE with the first mistake, and how many there are."""
    mistakes = mistakes_in_data(source)
    if mistakes:
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        raise unusable(f"{mistakes[0]}{more}", f"{mistakes[0].remedy} `broker policy check` shows them all.")


def mistakes_in_data(source: PolicySource) -> list[Mistake]:
    """All, in order of files and lines. Raises POLICY_ENGINE_UNAVAILABLE for a schema that is none."""
    twice = [
        Mistake(file, line, f"{what} is there twice.", "Remove one.") for file, line, what in source.twice
    ]
    return sorted({*twice, *at_their_lines(source, _faults(source))})


def at_their_lines(source: PolicySource, flaws: Iterator[Flaw]) -> list[Mistake]:
    """The first thousand, each with its file and line, in that order."""
    found = list(islice(flaws, _MOST_TOLD))
    files = {file.name: lines_of(file.raw.decode()) for file in source.data_files} if found else {}
    return sorted({_located(each, files) for each in found})


def _faults(source: PolicySource) -> Iterator[Flaw]:
    schemas = _schemas(source)
    base = schemas.pop(_BASE)
    described = base.get("properties")
    known = described if isinstance(described, dict) else source.base
    shared = {name: value for name, value in source.base.items() if name in known and name not in schemas}
    try:
        yield from DataSchema(base, source.base, known_names()).faults(shared)
        for name, value in source.base.items():
            if name in schemas:
                yield from DataSchema(schemas[name], source.base, known_names()).faults(value, (name,))
            elif name not in known and name != FREE:
                yield _undescribed(name, [*known, FREE])
            if name not in known:
                yield from _starry(value, (name,))
    except (re.error, KeyError, RecursionError):
        raise unusable(
            "schema/*.data.json: a schema cannot be used.", "Restore it from the release."
        ) from None


def _starry(value: object, place: Place) -> Iterator[Flaw]:
    """Texts that nobody but their author bounds: a rule could take any of them for a pattern."""
    if isinstance(value, str) and is_slow(value):
        what = f"A text with more than {MAX_STARS} `*` or {MAX_LENGTH} characters is slow as a pattern."
        yield Flaw(place, what, "Write it with fewer, or as several.")
    elif isinstance(value, dict | list):
        for name, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _starry(child, (*place, name))


def _undescribed(name: str, known: list[str]) -> Flaw:
    own = f"Put data of your own under `{FREE}` ({FREE}/data.json), or describe it: schema/{name}.data.json."
    return Flaw(
        (name,), f"No schema knows the table `{name}`.", f"{did_you_mean(name, known)} {own}".lstrip()
    )


def _schemas(source: PolicySource) -> dict[str, Mapping[str, object]]:
    """By the table they describe; `base` always."""
    shipped = (shipped_policies() / "schema" / "base.data.json").read_bytes
    found = {_BASE: _tree(_BASE, shipped())} if _BASE not in dict(source.schemas) else {}
    return found | {name: _tree(name, raw) for name, raw in source.schemas}


@lru_cache(maxsize=16)
def _tree(name: str, raw: bytes) -> Mapping[str, object]:
    try:
        tree = strictjson.parse(raw, bounds=None)
    except strictjson.StrictJsonError:
        tree = None
    if not isinstance(tree, dict):
        raise unusable(f"schema/{name}.data.json is not a JSON object.", "Restore it from the release.")
    return tree


def _located(fault: Flaw, files: Mapping[str, Lines]) -> Mistake:
    """The mistake at the line of its place, in the file that has most of it."""
    for length in range(len(fault.place), 0, -1):
        for name, lines in files.items():
            inside = _inside(name, fault.place[:length])
            if inside == () or (inside is not None and inside in lines.of):
                return Mistake(name, lines.of.get(inside, 1), fault.what, fault.remedy)
    return Mistake(next(iter(files), _WORKED_OUT), 1, fault.what, fault.remedy)


def _inside(name: str, place: Place) -> Place | None:
    """The place as the file has it: one in a subfolder is rooted at that folder's path.

    >>> _inside("own/data.json", ("own", "a", 0)), _inside("own/data.json", ("roles",))
    (('a', 0), None)
    """
    root = tuple(name.split("/")[:-1])
    return place[len(root) :] if place[: len(root)] == root else None
