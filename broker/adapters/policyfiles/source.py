"""Reads a policy directory the way `opa run --bundle` does: `*.rego` and `data.json`; and what `schema` says
of data.

Knows: files. Must not know: what a policy means. `*_test.rego` is left out; a `data.json` in a subfolder is
rooted at that folder's path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import resources
from pathlib import Path

from broker import strictjson
from broker.adapters.policyfiles.jsonlines import lines_of
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion

DATA_SCHEMA = ".data.json"
"""How the name of a schema of data ends."""
_AT_LINE = re.compile(r"line (\d+), column \d+\Z")
_MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Module:
    """One Rego file; `name` is its path inside the policy directory."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One `data.json`; `name` is its path inside the policy directory."""

    name: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PolicySource:
    """What was loaded. The SHA-256 of its version is over all names and contents, sorted; a folder's revision
    is the first 16 digits of it. `twice` are keys of the data that are there twice (file, line, key): such
    data must not rule; `schemas` are the texts of `schema/<table>.data.json`, by table.
    """

    modules: tuple[Module, ...]
    base: dict[str, object] = field(repr=False)
    version: PolicyVersion
    data_files: tuple[DataFile, ...] = ()
    schemas: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    twice: tuple[tuple[str, int, str], ...] = ()


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
    data = tuple(DataFile(name, raw) for name, raw in files if name.endswith("data.json"))
    base: dict[str, object] = {}
    twice: list[tuple[str, int, str]] = []
    for file in data:
        content, repeated = _data(file)
        _root(base, file.name, content)
        twice += repeated
    return PolicySource(modules, base, _version(directory, files), data, _schemas(directory), tuple(twice))


def shipped_policies() -> Path:
    """The policies inside the installed package, or those of the checkout."""
    package = Path(str(resources.files("broker")))
    installed = package / "policies"
    return installed if installed.is_dir() else package.parent / "policies"


def _schemas(directory: Path) -> tuple[tuple[str, bytes], ...]:
    found = sorted((directory / "schema").glob(f"*{DATA_SCHEMA}"))
    return tuple((path.name.removesuffix(DATA_SCHEMA), _read(path)) for path in found)


def _data(file: DataFile) -> tuple[dict[str, object], list[tuple[str, int, str]]]:
    """What a file says, and the keys that it says twice: then what it says last."""
    try:
        value, twice = strictjson.parse(file.raw, bounds=None), []
    except strictjson.StrictJsonError as error:
        repeated = _repeated(file.raw)
        if not repeated:
            raise unusable(*_unreadable(file.name, str(error))) from None
        value, twice = json.loads(file.raw), [(file.name, line, f"`{key}`") for key, line in repeated]
    if not isinstance(value, dict):
        raise unusable(f"{file.name}:1: it is not a JSON object.", "Give every value a name.")
    return value, twice


def _repeated(raw: bytes) -> list[tuple[str, int]]:
    """Each key that is there twice, and its second line; none where that is not all that is wrong."""
    try:
        text = raw.decode()
        strictjson.parse(json.dumps(json.loads(text)).encode(), bounds=None)
    except (ValueError, RecursionError):
        return []
    return [(str(place[-1]), line) for place, line in lines_of(text).twice]


def _unreadable(name: str, why: str) -> tuple[str, str]:
    place = _AT_LINE.search(why)
    where = f"{name}:{place[1]}" if place else f"{name}:1"
    return f"{where}: {why}.", "Mend this line or the one before it: a quote, a comma or a bracket is wrong."


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
    """The SHA-256 (hex) that versions these policies: over names and bytes, sorted; tests and schemas, which
    decide nothing, are left out.
    """
    digest = sha256()
    for name, raw in sorted(files):
        if not name.endswith("_test.rego") and not name.startswith("schema/"):
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
