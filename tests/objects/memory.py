"""Owners in memory, for tests of other things."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from broker.model.stored import Context, Keeping


class MemoryOwners:
    """`ports.ObjectOwners` without a file."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self.known: dict[str, Context] = {}

    async def belong(self, owner: str, ids: Collection[str]) -> Mapping[str, bool]:
        return {each: self._owners[each] == owner for each in ids if each in self._owners}

    async def remember(
        self,
        owner: str,
        ids: Sequence[str],
        parent: str | None,
        keeping: Keeping = Keeping.USUAL,  # noqa: ARG002
        context: Context | None = None,
    ) -> None:
        for each in ids:
            self._owners.setdefault(each, owner)
            self._parents.setdefault(each, parent or each)
        if context is not None and (parent is None or parent in ids):
            self.known.setdefault(parent or ids[0], context)

    async def measured(self, object_id: str, context: Context) -> None:
        self.known[object_id] = context

    async def contexts(self, ids: Collection[str]) -> Collection[Context | None]:
        return [self.known.get(each) for each in {self._parents.get(each, each) for each in ids}]

    async def forget(self, object_id: str) -> None:
        self._owners.pop(object_id, None)
