"""What a trial of policies has found is not looked for again while they stay the same: a trial is a process
of its own that takes seconds, and most tests ask about something else.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from unittest import mock

from broker.adapters.rego import preflight
from broker.adapters.rego.preflight import Preflight
from broker.errors import BrokerError

Trial = Callable[..., Awaitable[Preflight]]


@contextmanager
def tried_once(kept: Path) -> Iterator[None]:
    """Until it is left, what this process tries it tries once; `kept` is a folder for what was found, which
    processes may share.
    """
    with mock.patch.object(preflight, "_trial", _once(preflight._trial, kept)):
        yield


def _once(trial: Trial, kept: Path) -> Trial:
    """`trial`, which keeps what it found by the contents of a folder; but not what names the folder."""

    async def tried(directory: Path, *words: str) -> Preflight:
        file = kept / _digest(directory, words)
        if file.exists():
            return preflight._heard(file.read_bytes())
        said = preflight._told(await _found(trial(directory, *words)))
        if str(directory) not in said:
            scratch = file.with_suffix(f".{os.getpid()}")
            scratch.write_text(said)
            scratch.replace(file)
        return preflight._heard(said)

    return tried


async def _found(trial: Awaitable[Preflight]) -> Preflight | BrokerError:
    try:
        return await trial
    except BrokerError as error:
        return error


def _digest(folder: Path, words: tuple[str, ...]) -> str:
    digest = sha256(repr(words).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(contents)} ".encode())
        digest.update(contents)
    return digest.hexdigest()
