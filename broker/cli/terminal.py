"""What others wrote, on a terminal: none of it steers the terminal, or is read as markup.

Knows: terminals. Must not know: what is shown.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Each character that is none to print as its number: nothing of the text is lost."""
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def plain(text: str | None) -> str:
    """A space in the place of each such character."""
    return "".join(c if c.isprintable() else " " for c in text or "")


def escaped(text: str | None) -> str:
    """The same for a cell of a table, which takes markup."""
    return plain(text).replace("[", "\\[")
