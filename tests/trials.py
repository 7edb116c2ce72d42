"""What a trial of policies has found is not looked for again while they stay the same: a trial is a process
of its own that takes seconds, and most tests ask about something else. One that has to be is born.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from broker.adapters.rego import preflight
from broker.adapters.rego.preflight import Preflight
from broker.errors import BrokerError
from tests.births import Births, BornProcess, born_trial

Trial = Callable[..., Awaitable[Preflight]]
SHARED = "BROKER_TEST_TRIALS"
"""Names the folder that all processes of a run of the tests share."""
_STARTED = preflight._started


@contextmanager
def shared_trials() -> Iterator[None]:
    """Until it is left, this process and those that it starts keep in one folder what trials find."""
    with TemporaryDirectory(prefix="trials-") as folder, mock.patch.dict(os.environ, {SHARED: folder}):
        yield


@contextmanager
def tried_once() -> Iterator[None]:
    """Until it is left, what this process tries it tries once. There is a nursery, and a folder that is
    shared.
    """
    kept = Path(os.environ[SHARED])
    with (
        mock.patch.object(preflight, "_trial", _once(preflight._trial, kept)),
        mock.patch.object(preflight, "_started", _born),
    ):
        yield


@contextmanager
def tried_apart() -> Iterator[None]:
    """Until it is left, each trial is a process that this one has started."""
    with mock.patch.object(preflight, "_started", _STARTED):
        yield


async def _born(directory: Path, words: Sequence[str]) -> BornProcess:
    with closing(Births.of_this_process()) as births:
        return born_trial(births, directory, words)


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
