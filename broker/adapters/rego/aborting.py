"""Rules that are known to make the engine abort, take all memory or come to no value, told once it has.

Knows: the text of modules. Must not know: engines. Policies are built in a process of their own first, so no
rule ends another one, and nothing is refused for its look alone: many a rule of the form works. They are:
`name := list[_]`, a walk, whose `name` is then a key of something else; and a rule that calls itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from broker.adapters.policyfiles.dialect import line_of
from broker.adapters.policyfiles.source import Module
from broker.adapters.policyfiles.statements import statements

NO_RECURSION = "Rego knows no recursion, and OPA refuses it, too: name the other rule that is meant."
_NO_RULES = frozenset({"", "package", "import"})
_WALKED = re.compile(r"\b([A-Za-z_]\w*)\s*:=\s*[^\n]*\[([A-Za-z_]\w*)\]")


def suspects(modules: Iterable[Module]) -> list[str]:
    r"""Where the known form stands, and what it is.

    >>> text = "package m\n\np if {\n\tname := asked[_]\n\tinput.call[name]\n}\n"
    >>> suspects([Module("m.rego", text)])
    ['m.rego:4: `name := …[_]` and then `[… name …]` makes the engine abort.']
    """
    return [
        f"{module.name}:{line_of(module.text, len(module.text[:place].encode()))}: "
        f"`{name} := …[{walked}]` and then `[… {name} …]` makes the engine abort."
        for module in modules
        for place, name, walked in _walks(module)
    ]


def recursions(modules: Iterable[Module]) -> list[str]:
    r"""The rules that name themselves in what they say.

    >>> recursions([Module("m.rego", 'package m\n\nr if {\n\tinput.r == "r"\n\tr\n}\n')])
    ['m.rego:5: the rule `r` calls itself.']
    """
    found = []
    for module in modules:
        for statement in statements(module):
            name = statement.head
            again = re.compile(rf"(?<![\w.\"]){re.escape(name)}(?![\w\"])")
            _, *more = [each.start() for each in again.finditer(statement.code)] or [0]
            if more and name not in _NO_RULES:
                line = line_of(module.text, len(module.text[: statement.start + more[0]].encode()))
                found.append(f"{module.name}:{line}: the rule `{name}` calls itself.")
    return found


def _walks(module: Module) -> Iterable[tuple[int, str, str]]:
    for statement in statements(module):
        for found in _WALKED.finditer(statement.code):
            used = rf"\[[^\n]*\b{found[1]}\b[^\n]*\]"
            if re.search(used, statement.code[found.end() :]):
                yield statement.start + found.start(), found[1], found[2]
