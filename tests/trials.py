"""What a trial of policies has found is not looked for again while they stay the same: a trial is a process
of its own that takes seconds, and most tests ask about something else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.adapters.rego import preflight
from broker.adapters.rego.preflight import Preflight
from broker.errors import BrokerError

Trial = Callable[..., Awaitable[Preflight]]


@contextmanager
def tried_once() -> Iterator[None]:
    """Until it is left, what this process tries it tries once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "_trial", _once(preflight._trial))
        yield


def _once(trial: Trial) -> Trial:
    """`trial`, which keeps what it found by the contents of a folder; but not what names the folder."""
    known: dict[object, Preflight | BrokerError] = {}

    async def tried(directory: Path, *words: str) -> Preflight:
        asked = words, _contents(directory)
        if asked not in known:
            found = await _found(trial(directory, *words))
            if isinstance(found, BrokerError) and str(directory) in found.message:
                raise found
            known[asked] = found
        found = known[asked]
        if isinstance(found, BrokerError):
            raise BrokerError(found.kind, found.message, remedy=found.remedy)
        return found

    return tried


async def _found(trial: Awaitable[Preflight]) -> Preflight | BrokerError:
    try:
        return await trial
    except BrokerError as error:
        return error


def _contents(folder: Path) -> frozenset[tuple[Path, bytes]]:
    return frozenset(
        (path.relative_to(folder), path.read_bytes()) for path in folder.rglob("*") if path.is_file()
    )
