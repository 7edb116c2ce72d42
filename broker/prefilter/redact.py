"""The document without what was found, and otherwise as it was: every value keeps its JSON type, a string
that is itself JSON stays JSON.

Knows: spans and paths. Must not know: rules, or who may send what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.model.finding import Finding, Path
from broker.prefilter.jsontext import Mark, covered_json
from broker.prefilter.texts import KEY

_Step = str | int
_Container = dict[str, object] | list[object]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How token ids are read and written, for the model of the call."""

    decode: Callable[[list[int]], str | None]
    encode: Callable[[str], list[int]]


def redact(
    document: Mapping[str, object], findings: Sequence[Finding], vocabulary: Vocabulary | None = None
) -> dict[str, object]:
    """A new document with `[REDACTED:rule]` in place of every finding; the one given stays as it was.

    What no finding touches is shared with the original. A number becomes 0; token ids those of their text
    with the mark in it. `findings` must be those of this document: raises LookupError where a path leads
    nowhere, or to token ids without a `vocabulary`.

    >>> from broker.model.finding import Finding, Severity
    >>> redact({"input": "to ann@example.org"}, [Finding("pii.email", Severity.LOW, ("input",), 3, 18)])
    {'input': 'to [REDACTED:pii.email]'}
    """
    by_path: dict[Path, list[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    copy = _Copy(document)
    keys: dict[Path, dict[_Step, list[Finding]]] = {}
    for path, found in by_path.items():
        if path[-1] == KEY:
            keys.setdefault(path[:-2], {})[path[-2]] = found
        else:
            copy.put(path, _covered(copy.get(path), found, vocabulary))
    for owner in sorted(
        keys, key=len, reverse=True
    ):  # keys last and inner ones first: paths name the old ones
        copy.rename(owner, keys[owner])
    return copy.document


def covered(value: str, findings: Iterable[Finding]) -> str:
    """The string with every span covered; overlapping spans get the mark of the first. JSON stays JSON."""
    marks = [Mark(finding.start, finding.end, f"[REDACTED:{finding.rule}]") for finding in findings]
    marks.sort(key=lambda mark: (mark.start, -mark.end))
    inner = covered_json(value, marks)
    if inner is not None:
        return inner
    pieces: list[str] = []
    done = 0
    for mark in marks:
        if mark.start >= done:
            pieces += [value[done : mark.start], mark.text]
        done = max(done, mark.end)
    return "".join([*pieces, value[done:]])


def _covered(value: object, findings: list[Finding], vocabulary: Vocabulary | None) -> object:
    if isinstance(value, str):
        return covered(value, findings)
    if isinstance(value, (int, float)):
        return type(value)(0)
    text = vocabulary.decode(list(value)) if vocabulary and isinstance(value, (list, tuple)) else None
    if vocabulary is None or text is None:
        raise LookupError("token ids are redacted with a vocabulary that knows them")
    return vocabulary.encode(covered(text, findings))


class _Copy:
    """A copy of the document: only the containers that lead to a change are copied, each once."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self.document: dict[str, object] = dict(document)
        self._fresh: dict[Path, _Container] = {(): self.document}
        self._names: dict[Path, list[str]] = {}

    def get(self, path: Path) -> object:
        """What is at `path`. Raises LookupError."""
        owner = self._container(path[:-1])
        return owner[self._key(path)] if isinstance(owner, dict) else owner[int(path[-1])]

    def put(self, path: Path, value: object) -> None:
        """Sets what is at `path`."""
        owner = self._container(path[:-1])
        if isinstance(owner, dict):
            owner[self._key(path)] = value
        else:
            owner[int(path[-1])] = value

    def rename(self, path: Path, found: Mapping[_Step, Sequence[Finding]]) -> None:
        """Covers what was found in the keys of the object at `path`. Keys that become equal get a number."""
        owner = self._container(path)
        assert isinstance(owner, dict)  # noqa: S101 - only an object has keys
        new = {self._key((*path, step)): findings for step, findings in found.items()}
        used: dict[str, int] = {}
        members: dict[str, object] = {}
        for key, value in owner.items():
            mark = name = covered(key, new[key]) if key in new else key
            while name in members or (name in owner and name != key):
                used[mark] = used.get(mark, 1) + 1
                name = f"{mark}#{used[mark]}"
            members[name] = value
        owner.clear()
        owner.update(members)

    def _container(self, path: Path) -> _Container:
        fresh = self._fresh.get(path)
        if fresh is None:
            child = self.get(path)
            fresh = dict(child) if isinstance(child, Mapping) else list(child)  # type: ignore[call-overload]
            self._fresh[path] = fresh
            self.put(path, fresh)
        return fresh

    def _key(self, path: Path) -> str:
        """A key is named by itself or, where it is not a plain name, by its place."""
        step = path[-1]
        if isinstance(step, str):
            return step
        names = self._names.get(path[:-1])
        if names is None:
            names = self._names[path[:-1]] = list(self._container(path[:-1]))  # type: ignore[arg-type]
        return names[step]
