"""Patterns with `*`, matched in time linear in the text, whoever wrote them.

Knows: what `*` means. Must not know: what is matched. No pattern of a caller, a policy or an operator becomes
a regular expression: with many stars one would be tried in more ways than anybody can wait for.
"""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Whether `text` fits `pattern`; `*` stands for any run of characters and nothing else is special.

    Takes each part of the pattern where it first fits and never looks back, so that no pattern is slow.

    >>> matches("gpt-*-mini", "gpt-4o-mini"), matches("gpt-*-mini", "gpt-mini")
    (True, False)
    """
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == text
    last = middle.pop()
    end = len(text) - len(last)
    place = len(first)
    if place > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
