"""Which rules and tables one decision point can reach.

Knows: the text of modules. Must not know: the engine. rego-cpp walks the whole compiled bundle before each
evaluation and copies all of its variables for many a built-in, so that a decision pays for every rule beside
it: each point is therefore compiled alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from broker.adapters.policyfiles.dialect import code_of
from broker.adapters.policyfiles.source import Module
from broker.adapters.policyfiles.statements import keeping, outermost, statements

_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_MENTION = re.compile(r"(?<![\w.])data((?:\.[A-Za-z_]\w*)*)(?![\w.])")
_RULE = re.compile(r"^\s*(?:default\s+)?(?!(?:package|import|default|else)\b)([A-Za-z_]\w*)", re.MULTILINE)
_WORDS = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_IMPORT = re.compile(r"import\s+(data(?:\.\w+)+)(?:\s+as\s+(\w+))?")

Path = tuple[str, ...]


def reached(modules: Sequence[Module], package: str, rule: str) -> list[Module]:
    """The modules that define `rule` of `package`, and all that any of it mentions, in their own order, each
    with the rules that are mentioned and no others.

    A rule of the same package is mentioned by its bare name, one of another by its path under `data`; a
    mention that is no dotted path counts as everything below it. Every mention in code counts, so that
    nothing a rule can reach is ever left out. A module that is not laid out as `opa fmt` does is kept whole.

    >>> calls = Module("calls", "package broker.calls\\nimport data.broker.grants\\ndecision := grants.role")
    >>> others = [Module("grants", "package broker.grants\\nrole := 1"), Module("x", "package broker.admin")]
    >>> more = Module("more", "package broker.calls\\nexplanation := 1")
    >>> [module.name for module in reached([calls, more, *others], "broker.calls", "decision")]
    ['calls', 'grants']
    """
    index = _index(tuple(modules))
    asked: set[Path] = {(*package.split("."), rule)}
    seen: set[Path] = set()
    found: set[_Part] = set()
    while asked:
        seen |= asked
        new = {part for path in asked for part in index.meant(path)} - found
        found |= new
        asked = {path for part in new for path in part.mentions} - seen
    named = {part.module.name for part in found}
    return [_with(module, found) for module in modules if module.name in named]


@dataclass(frozen=True, slots=True)
class _Part:
    """A rule, or a whole module: the paths it defines, and those that it mentions."""

    module: Module
    start: int
    rules: frozenset[Path]
    mentions: frozenset[Path]


class _Index:
    """Finds the parts that a mention may mean: those with a rule above, at or below it."""

    def __init__(self, parts: Iterable[_Part]) -> None:
        self._at: defaultdict[Path, list[_Part]] = defaultdict(list)
        self._below: defaultdict[Path, list[_Part]] = defaultdict(list)
        for part in parts:
            for rule in part.rules:
                self._at[rule].append(part)
                for length in range(len(rule)):
                    self._below[rule[:length]].append(part)

    def meant(self, path: Path) -> Iterator[_Part]:
        yield from self._below.get(path, ())
        for length in range(len(path) + 1):
            yield from self._at.get(path[:length], ())


@lru_cache(maxsize=8)  # each rule is looked for in the same modules
def _index(modules: tuple[Module, ...]) -> _Index:
    return _Index(part for module in modules for part in _parts(module))


_WHOLE = -1


@lru_cache(maxsize=256)  # each decision point reads the same modules
def _parts(module: Module) -> tuple[_Part, ...]:
    return tuple(_read_parts(module))


def _read_parts(module: Module) -> Iterator[_Part]:
    package, found = _package(code_of(module)), statements(module)
    imported = {alias: path for each in found if each.head == "import" for alias, path in _imports(each.code)}
    rules = [each for each in found if each.head not in ("package", "import")]
    if all(each.is_whole for each in found):
        for each in rules:
            mentions = _mentions(each.code, package, imported)
            yield _Part(module, each.start, frozenset({(*package, each.head)}), mentions)
        return
    heads = frozenset((*package, head) for head in _RULE.findall(outermost(code_of(module))))
    yield _Part(module, _WHOLE, heads, _mentions(code_of(module), package, imported))


def _with(module: Module, found: Collection[_Part]) -> Module:
    starts = {part.start for part in found if part.module == module}
    return module if _WHOLE in starts else keeping(module, lambda each: each.start in starts)


def _imports(code: str) -> Iterator[tuple[str, Path]]:
    for path, alias in _IMPORT.findall(code):
        yield alias or path.rpartition(".")[2], tuple(path.split(".")[1:])


def _mentions(code: str, package: Path, imported: Mapping[str, Path]) -> frozenset[Path]:
    """Paths under `data`; and every word, as though it were a rule of the package, or an import."""
    paths = {tuple(mention[1].split(".")[1:]) for mention in _MENTION.finditer(code)}
    for mention in _WORDS.finditer(code):
        first, *rest = mention[0].split(".")
        paths.add((*package, first))
        if first in imported:
            paths.add((*imported[first], *rest))
    return frozenset(paths)


@dataclass(frozen=True, slots=True)
class Chain:
    """A rule that is one chain of answers, taken apart: the modules with its first answer alone, and with the
    answers after it. Where the first is defined, it is the rule's value, for an `else` is asked only where
    nothing before it answered; where it is not, the others give it.
    """

    first: list[Module]
    others: list[Module]


def chain(modules: Sequence[Module], package: str, rule: str) -> Chain | None:
    """None where the rule is no chain, or is defined more than once.

    >>> text = "package a\\ndefault r := 0\\nr := 1 if {\\n\\tinput.x\\n} else := c.z\\n"
    >>> apart = chain([Module("a", text)], "a", "r")
    >>> [" ".join(module.text.split()) for module in (*apart.first, *apart.others)]
    ['package a r := 1 if { input.x }', 'package a default r := 0 r := c.z']
    """
    owners = [it for it in modules if _package(code_of(it)) == tuple(package.split("."))]
    found = [(it, each) for it in owners for each in statements(it) if each.head == rule]
    answering = [(it, each) for it, each in found if not each.is_default]
    if len(answering) != 1 or not all(each.is_whole for _, each in found):
        return None
    owner, answers = answering[0]
    otherwise = answers.otherwise()
    if otherwise is None:
        return None
    first = _blanking(modules, owner, otherwise, answers.end)
    others = _blanking(modules, owner, answers.start + len(rule), otherwise + len("else"))
    of_package = {it.name for it in owners}
    return Chain([_without_default(it, rule) if it.name in of_package else it for it in first], others)


def _without_default(module: Module, rule: str) -> Module:
    return keeping(module, lambda each: not (each.head == rule and each.is_default))


def _blanking(modules: Sequence[Module], owner: Module, start: int, end: int) -> list[Module]:
    text = owner.text[:start] + re.sub(r"[^\n]", " ", owner.text[start:end]) + owner.text[end:]
    return [Module(it.name, text) if it is owner else it for it in modules]


def mentioned(modules: Sequence[Module], base: Mapping[str, object]) -> dict[str, object]:
    """The part of the base document that the modules mention: whole top-level values."""
    codes = [code_of(module) for module in modules]
    firsts = {tuple(mention[1].split(".")[1:2]) for code in codes for mention in _MENTION.finditer(code)}
    return {name: value for name, value in base.items() if () in firsts or (name,) in firsts}


def _package(code: str) -> Path:
    named = _PACKAGE.search(code)
    return tuple(named[1].split(".")) if named else ()
