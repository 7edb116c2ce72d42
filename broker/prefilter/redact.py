"""The document without what was found. Knows: spans and paths. Must not know: rules, or who may send what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from broker.model.finding import Finding, Path
from broker.prefilter.texts import KEY

_Step = str | int


def redact(document: Mapping[str, object], findings: Sequence[Finding]) -> dict[str, object]:
    """A new document with `[REDACTED:rule]` in place of every finding; the one given stays as it was.

    What no finding touches is shared with the original. A finding that is not exact replaces all that is at
    its path: string, number or token ids. `findings` must be those of this document: raises LookupError
    where a path leads nowhere.

    >>> from broker.model.finding import Finding, Severity
    >>> redact({"input": "to ann@example.org"}, [Finding("pii.email", Severity.LOW, ("input",), 3, 18)])
    {'input': 'to [REDACTED:pii.email]'}
    """
    by_path: dict[Path, list[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    result = dict(document)
    fresh: dict[Path, dict[str, object] | list[object]] = {(): result}
    # values first, keys last and inner ones before outer: a renamed key must not break another's path
    for path in sorted(by_path, key=lambda path: (path[-1:] == (KEY,), -len(path))):
        owner, step = _owner(fresh, path)
        if path[-1] == KEY:
            _rename(fresh, path, by_path[path])
        else:
            _put(owner, step, _covered(_get(owner, step), by_path[path]))
    return result


def covered(value: str, findings: Iterable[Finding]) -> str:
    """The string with every exact span covered; overlapping spans get the mark of the first."""
    pieces: list[str] = []
    done = 0
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if finding.start >= done:
            pieces += [value[done : finding.start], _mark(finding)]
        done = max(done, finding.end)
    return "".join([*pieces, value[done:]])


def _covered(value: object, findings: list[Finding]) -> str:
    whole = next((finding for finding in findings if not finding.exact), None)
    if whole is not None or not isinstance(value, str):
        return _mark(whole or findings[0])
    return covered(value, findings)


def _mark(finding: Finding) -> str:
    return f"[REDACTED:{finding.rule}]"


def _owner(
    fresh: dict[Path, dict[str, object] | list[object]], path: Path
) -> tuple[dict[str, object] | list[object], _Step]:
    """The container of what `path` names, copied once with all that lead there."""
    depth = len(path) - (2 if path[-1] == KEY else 1)
    node = fresh[()]
    for end in range(1, depth + 1):
        copied = fresh.get(path[:end])
        if copied is None:
            child = _get(node, path[end - 1])
            copied = dict(child) if isinstance(child, Mapping) else list(child)  # type: ignore[call-overload]
            fresh[path[:end]] = copied
            _put(node, path[end - 1], copied)
        node = copied
    return node, path[depth]


def _rename(fresh: dict[Path, dict[str, object] | list[object]], path: Path, findings: list[Finding]) -> None:
    owner, step = _owner(fresh, path)
    assert isinstance(owner, dict)  # noqa: S101 - only an object has keys
    old = _key(owner, step)
    new = _covered(old, findings)
    number = 1
    while new in owner:
        number += 1
        new = f"{_covered(old, findings)}#{number}"
    members = [(new if key == old else key, value) for key, value in owner.items()]
    owner.clear()
    owner.update(members)


def _get(node: dict[str, object] | list[object], step: _Step) -> object:
    return node[_key(node, step)] if isinstance(node, dict) else node[int(step)]


def _put(node: dict[str, object] | list[object], step: _Step, value: object) -> None:
    if isinstance(node, dict):
        node[_key(node, step)] = value
    else:
        node[int(step)] = value


def _key(node: dict[str, object], step: _Step) -> str:
    """A key is named by itself or, where it is not a plain name, by its place."""
    return step if isinstance(step, str) else list(node)[step]
