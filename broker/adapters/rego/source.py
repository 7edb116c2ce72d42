"""Reads a policy directory the way `opa run --bundle` does: `*.rego` and `data.json`, nothing else.

Knows: files. Must not know: what a policy means. `*_test.rego` is left out; a `data.json` in a subfolder is
rooted at that folder's path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from broker import strictjson
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion

_MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Module:
    """One Rego file; `name` is its path inside the policy directory."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PolicySource:
    """What was loaded. The SHA-256 of its version is over all names and contents, sorted; a folder's revision
    is the first 16 digits of it.
    """

    modules: tuple[Module, ...]
    base: dict[str, object] = field(repr=False)
    version: PolicyVersion


def read_policies(directory: Path) -> PolicySource:
    """Raises POLICY_ENGINE_UNAVAILABLE, naming the file, where one cannot be read or is not strict JSON."""
    paths = sorted(
        path
        for path in directory.rglob("*")
        if (path.suffix == ".rego" and not path.name.endswith("_test.rego")) or path.name == "data.json"
    )
    files = [(path.relative_to(directory).as_posix(), _read(path)) for path in paths]
    modules = tuple(Module(name, _text(name, raw)) for name, raw in files if name.endswith(".rego"))
    if not modules:
        raise unusable(
            f"{directory} holds no *.rego policy.", "Point `policies` at a directory with policies."
        )
    base: dict[str, object] = {}
    for name, raw in files:
        if name.endswith("data.json"):
            _root(base, name, _parse(name, raw))
    return PolicySource(modules, base, _version(directory, files))


def read_tests(directory: Path) -> tuple[Module, ...]:
    """The `*_test.rego` of a directory. Raises POLICY_ENGINE_UNAVAILABLE where one cannot be read."""
    paths = sorted(directory.rglob("*_test.rego"))
    named = [(path.relative_to(directory).as_posix(), path) for path in paths]
    return tuple(Module(name, _text(name, _read(path))) for name, path in named)


def unusable(message: str, remedy: str) -> BrokerError:
    """The error of a policy directory that cannot be used."""
    return BrokerError(Kind.POLICY_ENGINE_UNAVAILABLE, message, remedy=remedy)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise unusable(f"{path} is larger than {_MAX_FILE_BYTES} bytes.", "Split it.")
        return path.read_bytes()
    except OSError as error:
        raise unusable(f"{path} cannot be read: {error.strerror}.", "Check its owner and mode.") from None


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise unusable(f"{name} is not UTF-8.", "Save it as UTF-8.") from None


def _parse(name: str, raw: bytes) -> dict[str, object]:
    try:
        value = strictjson.parse(raw, bounds=None)
    except strictjson.StrictJsonError as error:
        raise unusable(f"{name}: {error}.", "Correct the JSON.") from None
    if not isinstance(value, dict):
        raise unusable(f"{name} is not a JSON object.", "Give every value a name.")
    return value


def _root(base: dict[str, object], name: str, content: dict[str, object]) -> None:
    """Merges one file into the base document. Two files that both define a name contradict each other."""
    node = base
    for part in name.split("/")[:-1]:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise unusable(f"{name} is rooted at a name that another data.json defines.", "Rename one.")
        node = child
    for key, value in content.items():
        if key in node:
            raise unusable(f"{name} defines a name that another data.json defines too.", "Remove one.")
        node[key] = value


def contents_sha256(files: Iterable[tuple[str, bytes]]) -> str:
    """The SHA-256 (hex) that versions these policies: over names and bytes, sorted, tests left out."""
    digest = sha256()
    for name, raw in sorted(files):
        if not name.endswith("_test.rego"):
            for part in (name.encode(), raw):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
    return digest.hexdigest()


def _version(directory: Path, files: list[tuple[str, bytes]]) -> PolicyVersion:
    """The label of the folder's `.manifest`, where it is an unpacked bundle; else the digest's beginning."""
    sha256_hex = contents_sha256(files)
    manifest = directory / ".manifest"
    revision = _parse(".manifest", _read(manifest)).get("revision") if manifest.exists() else None
    label = revision.partition(" sha256:")[0] if isinstance(revision, str) else ""
    return PolicyVersion(label or sha256_hex[:16], sha256_hex)
