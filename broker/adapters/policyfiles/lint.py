"""What an author did wrong: each mistake with its file, its line and what to do about it.

Knows: what can be told from the text of modules alone. Must not know: engines. All are found at once; what
only an engine can tell (does it compile, does it answer a decision) is `preflight`'s.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.adapters.policyfiles.dialect import code_of, did_you_mean, foreign, input_mentions
from broker.adapters.policyfiles.patterns import slow_patterns
from broker.adapters.policyfiles.schema import Schema, read_schemas
from broker.adapters.policyfiles.slicing import reached
from broker.adapters.policyfiles.source import Module, PolicySource
from broker.adapters.policyfiles.statements import statements
from broker.ports import DecisionPoint

_PACKAGE = re.compile(r"^package\s+(broker\.\w+)", re.MULTILINE)
_ANNOTATED = re.compile(r'^#\s*-\s*input:\s*schema\["([\w.]+)"\]', re.MULTILINE)
_DATA = re.compile(r"(?<![\w.])data\.([A-Za-z_]\w*)(\[input(?:\.[A-Za-z_]\w*)+\])?")
_OTHERS = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
_IMPORT = re.compile(r"^import\s+data\.(broker\.\w+)(?:\s+as\s+(\w+))?", re.MULTILINE)
_ALLOW = re.compile(r'"allow"\s*:\s*("|\d|\[|\{|null\b)')
_NOT_BOOLEAN = "`allow` is a {kind}, not true or false"
_KINDS = {'"': "string", "[": "list", "{": "object", "n": "null"}


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """`file` is relative to the folder of policies."""

    file: str
    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def find_mistakes(source: PolicySource, policies: Path) -> list[Mistake]:
    """All that can be told without an engine. Raises POLICY_ENGINE_UNAVAILABLE where a schema
    cannot be read.
    """
    schemas = read_schemas(policies)
    found = [mistake for module in source.modules for mistake in _of_dialect(module)]
    found += [mistake for module in source.modules for mistake in _of_allow(module)]
    rules = _rules_by_package(source.modules)
    found += [mistake for module in source.modules for mistake in _of_names(module, rules)]
    found += _of_fields(source.modules, schemas)
    found += _of_loops(source.modules, source.base)
    return sorted(set(found))


def places(source: PolicySource, point: DecisionPoint, field: str) -> list[tuple[str, int]]:
    """File and line of what may have given a decision this field."""
    modules = reached(source.modules, f"broker.{point.value}", "decision")
    return [
        (module.name, line)
        for module in modules
        for line, text in enumerate(module.text.splitlines(), 1)
        if f'"{field}":' in text
    ]


def _mistake(module: Module, offset: int, what: str, remedy: str) -> Mistake:
    return Mistake(module.name, module.text.count("\n", 0, offset) + 1, what, remedy)


def _of_dialect(module: Module) -> Iterator[Mistake]:
    for each in (*foreign(module), *slow_patterns(module)):
        yield _mistake(module, each.offset, f"{each.what}.", each.remedy)


def _of_allow(module: Module) -> Iterator[Mistake]:
    for found in _ALLOW.finditer(module.text):
        if code_of(module)[found.end() - 2 : found.end() - 1] in (":", " "):  # not in a comment
            kind = _KINDS.get(found[1][0], "number")
            yield _mistake(
                module,
                found.start(),
                f"{_NOT_BOOLEAN.format(kind=kind)}: every such decision refuses the call.",
                'Write `"allow": true` or `"allow": false`; a condition belongs into the body of the rule.',
            )


def _of_names(module: Module, rules: Mapping[str, Collection[str]]) -> Iterator[Mistake]:
    """What is asked of another package that has no such rule."""
    code = code_of(module)
    imported = {alias or path.rpartition(".")[2]: path for path, alias in _IMPORT.findall(code)}
    for mention in _OTHERS.finditer(code):
        package = imported.get(mention[1])
        known = rules.get(package, ()) if package else ()
        if known and mention[2] not in known and not code[: mention.start()].endswith("data.broker."):
            meant = did_you_mean(mention[2], known) or f"It has {', '.join(sorted(known))}."
            yield _mistake(module, mention.start(), f"`{package}` has no `{mention[2]}`.", meant)


def _rules_by_package(modules: Iterable[Module]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for module in modules:
        named = _PACKAGE.search(code_of(module))
        if named:
            found[named[1]] |= {each.head for each in statements(module)} - {"package", "import"}
    return found


def _of_fields(modules: Sequence[Module], schemas: Mapping[str, Schema]) -> Iterator[Mistake]:
    """Fields that no input has. A module that names its schema is held to it, another to those of all points
    that reach it.
    """
    reaching = {
        point.value: {
            module.name
            for rule in ("decision", "explanation")
            for module in reached(modules, f"broker.{point.value}", rule)
        }
        for point in DecisionPoint
    }
    for module in modules:
        named = _ANNOTATED.findall(module.text)
        names = named or [f"{point}.input" for point, reach in reaching.items() if module.name in reach]
        known = [schemas[name] for name in names if name in schemas]
        for offset, path in input_mentions(code_of(module)):
            unknown = [schema.unknown(path) for schema in known]
            if known and all(unknown):
                told, siblings = unknown[0]  # type: ignore[misc]  # all of them are some
                meant = (
                    did_you_mean(told[-1], siblings)
                    or f"It has {', '.join(sorted(siblings)) or 'no fields'}."
                )
                what = f"`input.{'.'.join(told)}` is no field of the input ({', '.join(names)})."
                yield _mistake(module, offset, what, meant)


def _of_loops(modules: Sequence[Module], base: Mapping[str, object]) -> Iterator[Mistake]:
    """Tables that some rule looks up by key and another one walks."""
    mentions = [(it, at) for it in modules for at in _DATA.finditer(code_of(it)) if at[1] in base]
    keyed = {at[1] for _, at in mentions if (at[2] or "").startswith("[input.subject.")}
    keyed |= {"grants", "break_glass"} & base.keys()
    for module, at in mentions:
        if at[1] in keyed and not at[2]:
            yield _mistake(
                module,
                at.start(),
                f"`data.{at[1]}` is used without a key of the input: the rule walks the whole table, "
                "and each decision costs the more the more entries there are.",
                f"Look the entry up: `data.{at[1]}[input.subject.id]`.",
            )


def located(message: str) -> tuple[str, int] | None:
    """File and line that an error's message begins with.

    >>> located("calls.rego:12: unexpected token."), located("It is broken.")
    (('calls.rego', 12), None)
    """
    found = re.match(r"([\w./-]+\.(?:rego|json)):(\d+)\b", message)
    return (found[1], int(found[2])) if found else None
