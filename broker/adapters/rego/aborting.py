"""Rules that are known to make the engine abort, take all memory or come to no value, told once it has.

Knows: the text of modules. Must not know: engines. Policies are built in a process of their own first, so no
rule ends another one, and nothing is refused for its look alone: many a rule of the form works. They are:
`name := list[_]`, a walk, whose `name` is then a key of something else; rules that call each other in a
circle, be it of one rule alone; and a rule of which one part reads another, which OPA takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from broker.adapters.policyfiles.circles import Circle, CircleStep, circles
from broker.adapters.policyfiles.dialect import line_of
from broker.adapters.policyfiles.mentions import OpenPath, rule_texts
from broker.adapters.policyfiles.source import Module
from broker.adapters.policyfiles.statements import statements

_NO_RECURSION = "Rego knows no recursion, and OPA refuses it, too: "
_OTHER_RULE = f"{_NO_RECURSION}name the other rule that is meant."
_ONE_LESS = (
    f"{_NO_RECURSION}let one of them decide without the next, or take what both need into a rule of its own."
)
_OWN_NAME = "OPA takes that, the embedded engine does not: give what is read a rule of another name."
_WALK = "Write `some name in list`, or `some key, value in table`, in place of the walk."
_WALKED = re.compile(r"\b([A-Za-z_]\w*)\s*:=\s*[^\n]*\[([A-Za-z_]\w*)\]")


@dataclass(frozen=True, slots=True)
class Suspect:
    """What may be the reason, with file and line, and what to try."""

    told: str
    remedy: str


def suspects(modules: Iterable[Module]) -> list[Suspect]:
    r"""Where the known form of a walk stands.

    >>> text = "package m\n\np if {\n\tname := asked[_]\n\tinput.call[name]\n}\n"
    >>> [each.told for each in suspects([Module("m.rego", text)])]
    ['m.rego:4: `name := …[_]` and then `[… name …]` makes the engine abort.']
    """
    aborts = "makes the engine abort"
    return [
        Suspect(f"{_place(module, at)}: `{name} := …[{walked}]` and then `[… {name} …]` {aborts}.", _WALK)
        for module in modules
        for at, name, walked in _walks(module)
    ]


def recursions(modules: Sequence[Module]) -> list[Suspect]:
    r"""The rules that call themselves, whatever rules are between; where there are none, those of which one
    part reads another.

    >>> text = "package m\n\nr if not q\n\nq if r\n"
    >>> [each.told for each in recursions([Module("m.rego", text)])]
    ['m.rego:3: rules call each other in a circle: `r` (m.rego:3) calls `q` (m.rego:5) calls `r`.']
    """
    rules = rule_texts(modules)
    return [_recursion(_from_own(circle)) for circle in circles(rules, lambda rule: rule.path)] or [
        _reading(_from_own(circle)) for circle in circles(rules, lambda rule: rule.name)
    ]


def _from_own(circle: Circle) -> Circle:
    """The circle from the first rule that is the author's own: the others came with the release."""
    own = [number for number, step in enumerate(circle) if step.rule.module.name.startswith("own/")]
    first = own[0] if own else 0
    return circle[first:] + circle[:first]


def _recursion(circle: Circle) -> Suspect:
    first, *more = circle
    if not more:
        name = _shown(first.rule.path[first.rule.package :])
        return Suspect(f"{_where(first)}: the rule `{name}` calls itself.", _OTHER_RULE)
    return Suspect(f"{_where(first)}: rules call each other in a circle: {_round(circle)}.", _ONE_LESS)


def _reading(circle: Circle) -> Suspect:
    first, *more = circle
    name, over = _shown(first.rule.name[first.rule.package :]), f", over {_round(circle)}" if more else ""
    return Suspect(f"{_where(first)}: a part of the rule `{name}` reads another part of it{over}.", _OWN_NAME)


def _round(circle: Circle) -> str:
    """The whole way, each rule with the place where it names the next."""
    packages = {step.rule.path[: step.rule.package] for step in circle}
    names = [_shown(step.rule.path[0 if len(packages) > 1 else step.rule.package :]) for step in circle]
    way = [f"`{name}` ({_where(step)})" for name, step in zip(names, circle, strict=True)]
    return " calls ".join([*way, f"`{names[0]}`"])


def _shown(path: OpenPath) -> str:
    """A path as an author writes it: `broker.own.denies.mine`, `roles[…]`."""
    return "".join("[…]" if step is None else f".{step}" for step in path).removeprefix(".")


def _where(step: CircleStep) -> str:
    return _place(step.rule.module, step.mention.place)


def _place(module: Module, place: int) -> str:
    return f"{module.name}:{line_of(module.text, len(module.text[:place].encode()))}"


def _walks(module: Module) -> Iterator[tuple[int, str, str]]:
    for statement in statements(module):
        for found in _WALKED.finditer(statement.code):
            used = rf"\[[^\n]*\b{found[1]}\b[^\n]*\]"
            if re.search(used, statement.code[found.end() :]):
                yield statement.start + found.start(), found[1], found[2]
