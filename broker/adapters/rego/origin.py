"""Where policies come from: a folder, or a signed bundle that is unpacked for a moment.

Knows: files, when they have changed, and what must hold before they are used. Must not know: who uses them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from broker.adapters.policyfiles.bundle import read
from broker.adapters.policyfiles.source import unusable
from broker.adapters.rego.preflight import try_tested
from broker.adapters.rego.proof import SlicingProof

FileSignature = tuple[str, int, int, int]
Signature = tuple[FileSignature, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """Policies in a folder, and the signed bundle they came in, where they came in one."""

    directory: Path
    bundle: bytes | None = None

    async def try_them(self) -> SlicingProof:
        """Tries them in a process of its own, with their tests, wherever they come from. Gives the form in
        which they may rule. Raises POLICY_ENGINE_UNAVAILABLE with what is wrong.
        """
        return await try_tested(self.directory)


class PolicyOrigin(Protocol):
    """`signature` differs where the policies may differ; `contents` are readable while the context lasts.
    Both block. Raises POLICY_ENGINE_UNAVAILABLE for what may not be used.
    """

    def signature(self) -> Signature: ...

    def contents(self) -> AbstractContextManager[Contents]: ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that the operator owns; nothing in it is signed."""

    directory: Path

    def signature(self) -> Signature:
        """Of every file that policies are read from."""
        return tuple(sorted(_below(os.fspath(self.directory))))

    def contents(self) -> AbstractContextManager[Contents]:
        """The folder itself."""
        return nullcontext(Contents(self.directory))


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A bundle file, and the public key (PEM file) of who may sign it; both may be replaced while we run."""

    bundle: Path
    verification_key: Path

    def signature(self) -> Signature:
        """Of the bundle and of the key."""
        return tuple(_stats([self.bundle, self.verification_key]))

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """What the bundle holds, verified, and unpacked where nobody else can write."""
        try:
            raw, key = self.bundle.read_bytes(), self.verification_key.read_bytes()
        except OSError as error:
            raise unusable(f"{error.filename} cannot be read: {error.strerror}.", "Check the path.") from None
        bundle = read(raw, key)
        with TemporaryDirectory(prefix="broker-policies-") as unpacked:
            bundle.unpack(Path(unpacked))
            yield Contents(Path(unpacked), raw)


def _below(directory: str) -> Iterator[FileSignature]:
    """Of the files in a folder and in those within it, links to folders left out as `Path.rglob` does. It is
    taken four times a second beside the event loop, and costs a fifth of what paths would.
    """
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(entry.path)
                elif entry.name.endswith((".rego", "data.json")):
                    yield from _stats([entry])
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return


def _stats(files: Iterable[os.DirEntry[str] | Path]) -> Iterator[FileSignature]:
    """What was replaced just now and is not there is left out: the next look sees it."""
    for file in files:
        try:
            facts = file.stat()
        except FileNotFoundError:
            continue
        yield os.fspath(file), facts.st_mtime_ns, facts.st_size, facts.st_ino
