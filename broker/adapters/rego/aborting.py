"""Rules that are known to make the engine abort, told once it has.

Knows: the text of modules. Must not know: engines. Policies are built in a process of their own first, so no
rule ends another one, and nothing is refused for its look alone: many a rule of the form works. It is:
`name := list[_]`, a walk, whose `name` is then a key of something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from broker.adapters.policyfiles.dialect import line_of
from broker.adapters.policyfiles.source import Module
from broker.adapters.policyfiles.statements import statements

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


def _walks(module: Module) -> Iterable[tuple[int, str, str]]:
    for statement in statements(module):
        for found in _WALKED.finditer(statement.code):
            used = rf"\[[^\n]*\b{found[1]}\b[^\n]*\]"
            if re.search(used, statement.code[found.end() :]):
                yield statement.start + found.start(), found[1], found[2]
