"""Which rules each rule names, as OPA reads names: by their whole path, with the keys that are written out.

Knows: the text of modules. Must not know: engines, what follows from it. Where slicing asks what could be
meant, so that nothing is left out, this says what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.adapters.policyfiles.dialect import code_of
from broker.adapters.policyfiles.scopes import KEYWORDS, NAME, Brackets, Local, locals_of
from broker.adapters.policyfiles.source import Module
from broker.adapters.policyfiles.statements import RegoStatement, whole_statements

Path = tuple[str, ...]
OpenPath = tuple[str | None, ...]
"""None stands for a key that is worked out."""

_IMPORT = re.compile(r"import\s+([\w.]+)(?:\s+as\s+(\w+))?")
_DEFAULT = re.compile(r"default\s+")
_WORD = re.compile(r"\.([A-Za-z_]\w*)")
_KEY = re.compile(r"\[\s*(?:\"([^\"\\]*)\"|`([^`]*)`|(-?\d+|true|false|null))\s*\]")
_DATA, _INPUT = "data", "input"


@dataclass(frozen=True, slots=True)
class Mention:
    """A path that is named, and where in the module's text."""

    path: OpenPath
    place: int


@dataclass(frozen=True, slots=True)
class RuleText:
    """One definition of the rule at `path`, of which the first `package` steps are its package's."""

    module: Module
    path: OpenPath
    package: int
    mentions: tuple[Mention, ...]

    @property
    def name(self) -> OpenPath:
        """The path without keys."""
        return self.path[: self.package + 1]


def rule_texts(modules: Sequence[Module]) -> list[RuleText]:
    """All definitions, in order.

    >>> text = "package m\\n\\nr.a := 1\\n\\nr.b := x if some x in r[input.y]\\n"
    >>> [(each.path, [one.path for one in each.mentions]) for each in rule_texts([Module("m", text)])]
    [(('m', 'r', 'a'), []), (('m', 'r', 'b'), [('m', 'r', None)])]
    """
    found = [_Package.of(module) for module in modules]
    named: dict[Path, set[str]] = {}
    for each in found:
        named.setdefault(each.path, set()).update(rule.name for rule in each.rules)
    return [text for each in found for text in each.texts(named[each.path])]


@dataclass(frozen=True, slots=True)
class _Rule:
    """A statement that defines a rule. In its code, its name ends at `name_end`, and its head at `end`."""

    statement: RegoStatement
    name: str
    keys: OpenPath
    name_end: int
    end: int
    arguments: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Text:
    """The text of a module, and its brackets."""

    text: str
    brackets: Brackets

    def path(self, place: int) -> tuple[OpenPath, int]:
        """The path that begins there, and where it ends."""
        name = NAME.match(self.text, place)
        if name is None:
            return (), place
        steps: list[str | None] = [name[0]]
        place = name.end()
        while place < len(self.text):
            if word := _WORD.match(self.text, place):
                steps.append(word[1])
                place = word.end()
            elif key := _KEY.match(self.text, place):
                steps.append(_step(key))
                place = key.end()
            elif self.text[place] == "[":
                steps.append(None)
                place = self.brackets.closing[place] + 1
            else:
                break
        return tuple(steps), place


@dataclass(frozen=True, slots=True)
class _Package:
    """A module, read: its package, its rules and what its imports stand for; None for what is no rule."""

    module: Module
    text: _Text
    path: Path
    rules: tuple[_Rule, ...]
    imports: Mapping[str, Path | None]

    @classmethod
    def of(cls, module: Module) -> _Package:
        text = _Text(module.text, Brackets.of(code_of(module)))
        found = whole_statements(module)
        package = next((each for each in found if each.head == "package"), None)
        path = text.path(package.start + len("package "))[0] if package else ()
        imports = dict(pair for each in found if each.head == "import" for pair in _imported(each.code))
        rules = [_rule(text, each) for each in found if each.head not in ("", "package", "import")]
        return cls(module, text, tuple(step or "" for step in path), tuple(rules), imports)

    def texts(self, names: Iterable[str]) -> Iterator[RuleText]:
        """The definitions; `names` are all rules of the package, whichever module has them."""
        known: dict[str, Path | None] = {name: (*self.path, name) for name in names}
        known |= {_DATA: (), _INPUT: None, **self.imports}
        for rule in self.rules:
            mentions = tuple(_mentions(self.text, rule, known))
            yield RuleText(self.module, (*self.path, rule.name, *rule.keys), len(self.path), mentions)


def _imported(code: str) -> Iterator[tuple[str, Path | None]]:
    for path, alias in _IMPORT.findall(code):
        first, *rest = path.split(".")
        if first in (_DATA, _INPUT) and (alias or rest):
            yield alias or rest[-1], tuple(rest) if first == _DATA else None


def _rule(text: _Text, statement: RegoStatement) -> _Rule:
    default = _DEFAULT.match(statement.code)
    begin = default.end() if default else 0
    (name, *keys), place = text.path(statement.start + begin)
    end = place - statement.start
    closed = (
        text.brackets.closing[place] + 1 - statement.start if text.text[place : place + 1] == "(" else end
    )
    arguments = (end, closed) if closed > end else None
    return _Rule(statement, name or "", tuple(keys), begin + len(name or ""), closed, arguments)


def _mentions(text: _Text, rule: _Rule, known: Mapping[str, Path | None]) -> Iterator[Mention]:
    code, start = rule.statement.code, rule.statement.start
    hidden = locals_of(code, rule.end, rule.arguments)
    for found in NAME.finditer(code, rule.name_end):
        meant = None if found[0] in KEYWORDS or _is_local(found, hidden) else known.get(found[0])
        if meant is not None:
            _, *rest = text.path(start + found.start())[0]
            yield Mention((*meant, *rest), start + found.start())


def _is_local(found: re.Match[str], hidden: Iterable[Local]) -> bool:
    return any(each.name == found[0] and each.start <= found.start() < each.end for each in hidden)


def _step(key: re.Match[str]) -> str:
    """A key that is no string is another one than the string with the same letters."""
    text = key[1] if key[1] is not None else key[2]
    return text if text is not None else f"[{key[3]}]"
