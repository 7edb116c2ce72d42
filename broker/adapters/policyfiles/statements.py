"""The statements of a module: its package, imports and rules, each with all that belongs to it.

Knows: where one begins. Must not know: what it means. What is left out is blanked, so that lines stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from broker.adapters.policyfiles.dialect import code_of, outline_of
from broker.adapters.policyfiles.source import Module

_BEGINS = re.compile(r"^[ \t]*(?!else\b)(?=[A-Za-z_])", re.MULTILINE)
_HEAD = re.compile(r"(?:default\s+)?([A-Za-z_]\w*)")
_UNFINISHED = re.compile(r"(?:[^\w\s)\]}\"`]|\b(?:if|else|in|contains|not|some|every|with|as))\Z")
_BRACKET = re.compile(r"[()\[\]{}]")
_ELSE = re.compile(r"\belse\b")


@dataclass(frozen=True, slots=True)
class RegoStatement:
    """From `start` to `end` of a module's text; `code` is that part without comments and strings. `is_whole`
    says that it surely is: it is not indented, and does not end where something has to follow.
    """

    start: int
    end: int
    code: str
    is_whole: bool = True

    @property
    def head(self) -> str:
        """The first word: `package`, `import`, or the name of a rule."""
        found = _HEAD.match(self.code.lstrip())
        return found[1] if found else ""

    @property
    def is_default(self) -> bool:
        """Whether it only says what holds where nothing else does."""
        return self.code.lstrip().startswith("default ")

    def otherwise(self) -> int | None:
        """Where, in the module's text, the first `else` of the chain stands."""
        found = _ELSE.search(outermost(self.code))
        return self.start + found.start() if found else None


@lru_cache(maxsize=256)
def statements(module: Module) -> tuple[RegoStatement, ...]:
    """All of them, in order.

    >>> text = "package a\\nimport data.b\\np := {\\n\\t1\\n}\\nelse := 2"
    >>> [each.head for each in statements(Module("m", text))]
    ['package', 'import', 'p']
    """
    code = code_of(module)
    found = list(_BEGINS.finditer(outermost(code)))
    ends = [*(begin.end() for begin in found[1:]), len(code)]
    outline = outermost(outline_of(module))
    return tuple(
        RegoStatement(
            at.end(), end, code[at.end() : end], not at[0] and _is_finished(outline[at.end() : end])
        )
        for at, end in zip(found, ends, strict=True)
    )


def whole_statements(module: Module) -> tuple[RegoStatement, ...]:
    """All of them, each with what goes on in the next line.

    >>> [each.code for each in whole_statements(Module("m", "p :=\\n1\\nq := 2"))]
    ['p :=\\n1\\n', 'q := 2']
    """
    code, outline = code_of(module), outline_of(module)
    found: list[RegoStatement] = []
    for each in statements(module):
        if found and not _is_finished(outline[found[-1].start : each.start]):
            start = found.pop().start
            found.append(RegoStatement(start, each.end, code[start : each.end]))
        else:
            found.append(each)
    return tuple(found)


def keeping(module: Module, wanted: Callable[[RegoStatement], bool]) -> Module:
    """The module with the rules that are wanted, and the imports that these need."""
    found = statements(module)
    rules = [each for each in found if each.head not in ("package", "import") and wanted(each)]
    body = " ".join(each.code for each in rules)
    kept = [
        each for each in found if each.head == "package" or (each.head == "import" and _needed(each, body))
    ]
    text = _blanked(module.text)
    for each in (*kept, *rules):
        text = text[: each.start] + module.text[each.start : each.end] + text[each.end :]
    return Module(module.name, text)


def outermost(code: str) -> str:
    """The code with all that is inside brackets blanked; the closing bracket stays.

    >>> outermost("p := {1} if (q)")
    'p :=   } if   )'
    """
    depth, end, kept = 0, 0, list[str]()
    for bracket in _BRACKET.finditer(code):
        between, end = code[end : bracket.start()], bracket.end()
        kept.append(between if depth == 0 else _blanked(between))
        closes = bracket[0] in ")]}"
        depth -= closes
        kept.append(bracket[0] if closes and depth == 0 else " ")
        depth += not closes
    return "".join((*kept, code[end:] if depth == 0 else _blanked(code[end:])))


def _is_finished(outline: str) -> bool:
    return not _UNFINISHED.search(outline.rstrip())


def _needed(statement: RegoStatement, body: str) -> bool:
    name = statement.code.split()[-1].rpartition(".")[2]
    return re.search(rf"(?<![\w.]){re.escape(name)}\b", body) is not None


def _blanked(text: str) -> str:
    if "\n" not in text:
        return " " * len(text)
    return "\n".join(" " * len(line) for line in text.split("\n"))
