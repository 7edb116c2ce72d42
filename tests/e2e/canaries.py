"""Canaries: unmistakable texts, planted where they belong and hunted everywhere else."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_WINDOW = 12  # characters: a part as long as this is already a leak


@dataclass(frozen=True)
class Canary:
    """A text that must not appear, and what it stands for. Found in plain, as hex and in base64, also where
    no more than twelve characters of it are shown.
    """

    stands_for: str
    text: str

    def found_in(self, haystack: bytes) -> bool:
        """Whether any form or part of it is there."""
        return any(form in haystack for form in self._forms())

    def _forms(self) -> Iterable[bytes]:
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
    return [
        f"{canary.stands_for} in {place}"
        for canary in canaries
        for place, content in places.items()
        if canary.found_in(content)
    ]
