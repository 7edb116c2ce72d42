"""What an engine is given of a document: the parts that its modules read, and the entries looked up for them.

Knows: which parts are read, and how often. Must not know: engines, rules. rego-cpp finds a key by walking the
keys before it, and copies its input three times: it is given little, and what is read most comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from broker.adapters.policyfiles.dialect import Path, parts_read
from broker.adapters.policyfiles.source import Module

_Group = tuple[Path, tuple[str, ...]]
"""Parents, and what is read below them."""


class LookedUp(Protocol):
    """What is worked out beside the engine, and enters as `slot` of the input."""

    @property
    def slot(self) -> str: ...

    def entry(self, document: Mapping[str, object]) -> object:
        """What enters for this document; None for nothing."""


class Selection:
    """What some modules can reach of any document, and of the tables that are looked up for it."""

    def __init__(self, modules: Sequence[Module], lookups: Sequence[LookedUp]) -> None:
        self._lookups = tuple(lookups)
        paths = parts_read(modules)
        self._reads_all = () in paths
        groups = () if self._reads_all else _groups(paths)
        self._most, self._rest = groups[:1], groups[1:]

    @classmethod
    def everything(cls, lookups: Sequence[LookedUp]) -> Selection:
        """The whole of any document."""
        whole = cls((), lookups)
        whole._reads_all = True
        return whole

    def of(self, document: Mapping[str, object]) -> dict[str, object]:
        """An object of which nothing is there is left out: who reads only below it cannot tell. Nor can it be
        told whether what nobody reads was there.
        """
        selected = dict(document) if self._reads_all else {}
        _put(selected, document, self._most)
        for lookup in self._lookups:
            entry = lookup.entry(document)
            if entry is not None:
                selected[lookup.slot] = entry
        _put(selected, document, self._rest)
        return selected


def _groups(paths: Sequence[Path]) -> tuple[_Group, ...]:
    """In the order of `paths`."""
    below: dict[Path, list[str]] = {}
    for *parents, last in paths:
        below.setdefault(tuple(parents), []).append(last)
    return tuple((parents, tuple(names)) for parents, names in below.items())


def _put(selected: dict[str, object], document: Mapping[str, object], groups: Sequence[_Group]) -> None:
    for parents, names in groups:
        source: object = document
        for name in parents:
            source = source.get(name) if isinstance(source, dict) else None
        found = {name: source[name] for name in names if name in source} if isinstance(source, dict) else {}
        if found:
            target = selected
            for name in parents:
                target = target.setdefault(name, {})  # type: ignore[assignment]
            target.update(found)
