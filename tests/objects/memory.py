"""Owners in memory, for tests of other things."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


class MemoryOwners:
    """`ports.ObjectOwners` without a file."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    async def belong(self, owner: str, ids: Collection[str]) -> Mapping[str, bool]:
        return {each: self._owners[each] == owner for each in ids if each in self._owners}

    async def remember(self, owner: str, ids: Sequence[str], parent: str | None) -> None:  # noqa: ARG002
        for each in ids:
            self._owners.setdefault(each, owner)

    async def forget(self, object_id: str) -> None:
        self._owners.pop(object_id, None)
