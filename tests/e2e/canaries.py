"""Canaries: unmistakable texts, planted where they belong and hunted everywhere else."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import hyperscan

_WINDOW = 12  # characters: a part as long as this is already a leak


@dataclass(frozen=True)
class Canary:
    """A text that must not appear, and what it stands for. Found in plain, as hex and in base64, also where
    no more than twelve characters of it are shown.
    """

    stands_for: str
    text: str

    def forms(self) -> Iterable[bytes]:
        """Its forms and parts: where one of them is, it is found."""
        plain = self.text.encode()
        windows = [plain[i : i + _WINDOW] for i in range(max(1, len(plain) - _WINDOW + 1))]
        yield from windows
        yield plain.hex().encode()
        for shift in range(3):  # wherever in a longer text it began
            shown = base64.b64encode(bytes(shift) + plain)[4:-4]
            yield from (shown, shown.replace(b"+", b"-").replace(b"/", b"_"))


def plant(stands_for: str) -> Canary:
    """A new canary; no two share twelve characters, and no rule of the filter knows it."""
    return Canary(stands_for, f"wren{secrets.token_hex(10)}")


def files(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def hunt(canaries: Iterable[Canary], places: Mapping[str, bytes]) -> list[str]:
    """Each sighting: what it stands for, and where."""
    hunted = list(canaries)
    forms = [(form, number) for number, canary in enumerate(hunted) for form in set(canary.forms())]
    database = _database(forms)
    seen = {place: _numbers(database, content) for place, content in places.items()}
    return [
        f"{canary.stands_for} in {place}"
        for number, canary in enumerate(hunted)
        for place in places
        if number in seen[place]
    ]


def _database(forms: Sequence[tuple[bytes, int]]) -> hyperscan.Database:
    """For all forms in one pass: some thousand of them, in megabytes."""
    database = hyperscan.Database()
    database.compile(
        expressions=[b"".join(b"\\x%02x" % byte for byte in form) for form, _ in forms],
        ids=[number for _, number in forms],
        elements=len(forms),
        flags=[hyperscan.HS_FLAG_SINGLEMATCH] * len(forms),
    )
    return database


def _numbers(database: hyperscan.Database, content: bytes) -> set[int]:
    """Those with a form that is there."""
    found: set[int] = set()

    def note(number: int, *_where: object) -> None:
        found.add(number)

    database.scan(content, match_event_handler=note)
    return found
