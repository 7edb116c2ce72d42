"""The architecture decision records, read: number, title, date, status.

Knows: how `broker/adr/0000-template.md` begins one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import DECISIONS

_BEGIN = re.compile(r"# (\d+)\. (.+)\n\n- Date: (\d{4}-\d\d-\d\d)\n- Status: (.+)\n\n")


class Decision(NamedTuple):
    """What a record says of itself."""

    path: Path
    number: int
    title: str
    date: str
    status: str


def records() -> list[Path]:
    """Every record, the template left out."""
    return sorted(path for path in DECISIONS.parent.glob("[0-9]*.md") if not path.name.startswith("0000-"))


def read(path: Path) -> Decision | None:
    """None where it does not begin as the template does."""
    found = _BEGIN.match(path.read_text())
    return Decision(path, int(found[1]), found[2], found[3], found[4]) if found else None


def decisions() -> list[Decision]:
    """Those that begin as they should, by number."""
    return [decision for path in records() if (decision := read(path)) is not None]
