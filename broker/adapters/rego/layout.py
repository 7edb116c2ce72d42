"""What keeps a policy from being taken apart: text that the slicing would misread, each with its line.

Knows: how `reach`, `statements` and `tables` read text, which is by the layout that `opa fmt` gives it. Must
not know: engines, answers. It is a list of what is known; `proof` finds what nobody thought of (adr/0062).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from broker.adapters.policyfiles.dialect import code_of
from broker.adapters.policyfiles.source import Module
from broker.adapters.policyfiles.statements import RegoStatement, outermost, statements
from broker.adapters.rego.compiled import RuleForm

_PACKAGE = re.compile(r"package ([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_IMPORT = re.compile(r"import (?:data|input|rego)(?:\.[A-Za-z_]\w*)*(?: as [A-Za-z_]\w*)?")
_WITH = re.compile(r"(?<![\w.])with(?!\w)")
_APART = re.compile(r"[\w\])}]\s+\.\s*[A-Za-z_]|\.\s+[A-Za-z_]")
_CONTINUING = frozenset({"as", "contains", "else", "every", "if", "in", "not", "some", "with"})
_FORMAT = "Run `opa fmt --write` on it, and give each rule, import and package a line of its own."


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Where it stands, what it is, what to write instead, and the quickest form that can do without it."""

    file: str
    line: int
    what: str
    remedy: str
    form: RuleForm

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def obstacles(modules: Iterable[Module], base: Mapping[str, object]) -> list[Obstacle]:
    r"""All that is known to be misread.

    >>> text = "package a\n\np := 1\nif { input.x }\n"
    >>> [str(each) for each in obstacles([Module("a.rego", text)], {})]
    ['a.rego:4: a rule goes on at the beginning of a line, with `if`']
    """
    return [each for module in modules for each in (*_of_layout(module), *_of_meaning(module, base))]


def _of_layout(module: Module) -> Iterator[Obstacle]:
    code = code_of(module)
    for each in statements(module):
        what = _misread(each, is_indented=code[each.start - 1 : each.start] not in ("", "\n"))
        if what:
            yield _obstacle(module, each.start, what, _FORMAT, RuleForm.LOOKUPS)
    if [each.head for each in statements(module)].count("package") != 1:
        yield _obstacle(module, 0, "not one `package` at the beginning of a line", _FORMAT, RuleForm.LOOKUPS)
    for found in re.finditer(";", outermost(code)):
        yield _obstacle(module, found.start(), "a `;` between two rules", _FORMAT, RuleForm.LOOKUPS)
    for found in _APART.finditer(code):
        yield _obstacle(module, found.start(), "a space beside the `.` of a path", _FORMAT, RuleForm.LOOKUPS)


def _misread(statement: RegoStatement, *, is_indented: bool) -> str:
    """Why the slicing would misread it, or an empty string."""
    text = statement.code.strip()
    if statement.head in _CONTINUING:
        return f"a rule goes on at the beginning of a line, with `{statement.head}`"
    if statement.head == "package" and (is_indented or not _PACKAGE.fullmatch(text)):
        return "a `package` that is no plain dotted path on a line of its own"
    if statement.head == "import" and not _IMPORT.fullmatch(text):
        return "an `import` that is no plain dotted path on a line of its own"
    if text.startswith("default") and not text.startswith("default "):
        return "a `default` that is not followed by one space"
    return ""


def _of_meaning(module: Module, base: Mapping[str, object]) -> Iterator[Obstacle]:
    code = code_of(module)
    for found in _WITH.finditer(code):
        instead = "Give what differs to a function as an argument."
        yield _obstacle(
            module, found.start(), "`with` replaces what was selected before", instead, RuleForm.WHOLE
        )
    named = _PACKAGE.search(code)
    first = named[1].split(".")[0] if named else ""
    if named and first in base:
        instead = "Rename the package, or the table."
        yield _obstacle(
            module, named.start(), f"a package under `{first}`, which is data, too", instead, RuleForm.WHOLE
        )


def _obstacle(module: Module, offset: int, what: str, remedy: str, form: RuleForm) -> Obstacle:
    return Obstacle(module.name, module.text.count("\n", 0, offset) + 1, what, remedy, form)
