"""The project's documents: where they are, and what of them can be held to the code: links, code, blocks.

Knows: Markdown as GitHub reads it. Must not know: what a document says.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SERVICES = ROOT / "protos/README.md"
POLICIES = ROOT / "policies/README.md"
OPERATORS = ROOT / "deploy/README.md"
AUDITORS = ROOT / "deploy/AUDITORS.md"
ARCHITECTURE = ROOT / "broker/ARCHITECTURE.md"
DECISIONS = ROOT / "broker/adr/README.md"
CHANGELOG = ROOT / "CHANGELOG.md"

PAGES = tuple(
    sorted(
        path
        for folder in (".", "broker", "broker/adr", "protos", "policies", "deploy", "deploy/vault", "tests")
        for path in (ROOT / folder).glob("*.md")
    )
)
"""Every document."""

_FENCE = re.compile(r"^(?: {0,3})```(\w*)[^\n`]*\n(.*?)^ {0,3}```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)


def name(page: Path) -> str:
    """The path from the project's root, as a test's id."""
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of this language, "" for those of none."""
    return [found[2] for found in _FENCE.finditer(text) if found[1] == language]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def code(text: str) -> list[str]:
    """What stands between backticks in the prose, on one line."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def commands(text: str) -> list[str]:
    """Command lines that begin with `broker`: of blocks, fenced or indented, continued lines joined, and of
    the prose.
    """
    joined = text.replace("\\\n", " ")
    shown = [line for block in blocks(joined, "") for line in block.splitlines()]
    shown += [line[4:] for line in joined.splitlines() if line.startswith("    ")]
    wrapped = re.findall(r"`(broker [^`]+)`", prose(text))
    return [
        re.sub(r"\s+", " ", line.split(" # ")[0].split("   #")[0]).strip()
        for line in (*shown, *wrapped)
        if line.startswith(("broker ", "TOKEN=$(broker "))
    ]


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        for heading in headings
    }


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of each link that stays in the project."""
    found = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", prose(text))
    return [(path, anchor) for path, anchor in found if path or anchor]
