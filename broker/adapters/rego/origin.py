"""Where policies come from: a folder, or a signed bundle that is unpacked for a moment.

Knows: files, when they have changed, and what must hold before they are used. Must not know: who uses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from broker.adapters.policyfiles.bundle import read
from broker.adapters.policyfiles.source import unusable
from broker.adapters.rego.preflight import try_tested
from broker.adapters.rego.proof import SlicingProof

Signature = tuple[tuple[str, int, int, int], ...]


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
        found = sorted(self.directory.rglob("*"))
        return _stats([path for path in found if path.suffix == ".rego" or path.name.endswith("data.json")])

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
        return _stats([self.bundle, self.verification_key])

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


def _stats(paths: list[Path]) -> Signature:
    """What was replaced just now and is not there is left out: the next look sees it."""
    found = []
    for path in paths:
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
