"""Patterns in the text of modules: one that the engine may need long for is refused when it is loaded.

Knows: the text of modules, and how rego-cpp matches. Must not know: data, which its schema bounds. Both of
its matchers try one way after another: `glob.match` takes exponential time in the number of `*`, `regex.*`
where one repetition stands in another; and of a regular expression each character takes some of the stack, so
that a long text ends the process. OPA has no such weakness.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from broker.adapters.policyfiles.dialect import Foreign, code_of
from broker.adapters.policyfiles.source import Module

MAX_STARS = 3
MAX_LENGTH = 4096
_MATCHING = re.compile(r"(?<![\w.])(glob\.match|regex\.(?:match|find_n|replace|split))\(")
_SECOND = "regex.replace"  # of its arguments, the second is the pattern
_REGEX = re.compile(r"(?<![\w.])regex\.")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[:!=]|\{\d*,?\d*\}|.", re.DOTALL)


def uses_regex(modules: Iterable[Module]) -> bool:
    """Whether a text of the input may be matched by a regular expression."""
    return any(_REGEX.search(code_of(module)) for module in modules)


def is_slow(pattern: str) -> bool:
    """Whether a pattern with `*` is longer, or has more of them, than the engine should be given.

    >>> is_slow("a*b*c*"), is_slow("a*b*c*d*")
    (False, True)
    """
    return pattern.count("*") > MAX_STARS or len(pattern) > MAX_LENGTH


def slow_patterns(module: Module) -> Iterator[Foreign]:
    """All that is slow in a module, or could be."""
    code = code_of(module)
    for call in _MATCHING.finditer(code):
        start, end = _argument(code, call.end(), 1 if call[1] == _SECOND else 0)
        literal = module.text[start:end].strip()
        is_constant = not code[start:end].strip() and literal[:1] in ('"', "`")
        found = _of_glob if call[1] == "glob.match" else _of_regex
        why = found(literal, is_constant)
        if why:
            yield Foreign(call.start(), f"gives `{call[1]}` a pattern {why[0]}", why[1])


def _of_glob(literal: str, is_constant: bool) -> tuple[str, str] | None:
    if is_constant and is_slow(literal[1:-1]):
        return f"with more than {MAX_STARS} `*`, or over {MAX_LENGTH} characters", _FEWER
    if not is_constant and literal.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0] == "input":
        return "of the caller's", "Let the pattern come from data.json, whose patterns are bounded."
    return None


def _of_regex(literal: str, is_constant: bool) -> tuple[str, str] | None:
    if not is_constant:
        return "that is not written in the call", "Write the pattern itself there, or use `glob.match`."
    if len(literal) > MAX_LENGTH or _is_nested(literal[1:-1]):
        return "in which a repetition or a choice is repeated, or with more than three repetitions", _FEWER
    return None


_FEWER = "Write it with fewer, or as several."


def _argument(code: str, start: int, number: int) -> tuple[int, int]:
    """From where to where an argument goes of the call whose arguments begin at `start`."""
    depth = 0
    for place in range(start, len(code)):
        character = code[place]
        if depth == 0 and character in ",)":
            if number == 0 or character == ")":
                return start, place
            number, start = number - 1, place + 1
        depth += (character in "([{") - (character in ")]}")
    return start, len(code)


def _is_nested(pattern: str) -> bool:
    """Whether what repeats or chooses is itself repeated, something refers back, or more than three repeat.

    >>> [_is_nested(each) for each in ("^[a-z]+-(a|b)[*+]{4}$", "(a*)*b", "(a|aa)+", "a*b*c*d*", "(a+){9}")]
    [False, True, True, True, True]
    """
    repetitions, open_groups, last = 0, [False], False
    for atom in _ATOM.findall(pattern):
        if atom[0] == "\\" and atom[1].isdigit():
            return True
        if atom in ("*", "+") or (len(atom) > 1 and atom[0] == "{"):
            if last:
                return True
            varies = "," in atom or atom in ("*", "+")  # {4} is but a short way to write it
            repetitions, open_groups[-1] = repetitions + varies, open_groups[-1] or varies
        elif atom[0] == "(":
            open_groups.append(False)
        elif atom in ("|", "?"):
            open_groups[-1] = True
        last = atom == ")" and len(open_groups) > 1 and open_groups.pop()
        if last:
            open_groups[-1] = True
    return repetitions > MAX_STARS
