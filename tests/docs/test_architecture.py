"""ARCHITECTURE.md's threat table names tests that exist, and its house is the one that stands."""

from __future__ import annotations

import re

from tests.docs.pages import README

ROOT = README.parent
TEXT = (ROOT / "broker/ARCHITECTURE.md").read_text()
THREATS = [line for line in TEXT.split("## Threats")[1].splitlines() if line.startswith("| ")][2:]


def test_every_threat_names_a_test_that_exists() -> None:
    missing = []
    for row in THREATS:
        named = re.findall(r"`(tests/[^`]+)`", row)
        assert named, row
        for path, _, function in (name.partition("::") for name in named):
            where = ROOT / path
            if not where.exists() or (function and f"def {function}(" not in where.read_text()):
                missing.append(f"{path}::{function}")
    assert missing == []


def test_every_package_of_the_house_is_described() -> None:
    house = TEXT.split("## The house")[1].split("Arrows point inward")[0]
    described = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in house.splitlines() if "|" in line))
    )
    standing = {
        path.stem
        for path in (ROOT / "broker").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert standing - described == set()
    assert described - standing == set()
