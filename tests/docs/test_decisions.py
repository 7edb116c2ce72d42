"""Every architecture decision record says its number, title, date and status, as the template does."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.adrs import decisions, read, records
from tests.docs.pages import DECISIONS

STATUS = re.compile(r"(proposed|accepted|superseded by \[.+\]\(.+\))(; .+)?")


@pytest.mark.parametrize("path", records(), ids=lambda path: path.stem)
def test_a_decision_has_number_title_date_and_status(path: Path) -> None:
    decision = read(path)
    assert decision is not None, "begin it as broker/adr/0000-template.md does: title, Date, Status"
    assert decision.number == int(path.name[:4])
    assert STATUS.fullmatch(decision.status), decision.status


@pytest.mark.parametrize("path", records(), ids=lambda path: path.stem)
def test_a_decision_has_context_decision_and_consequences(path: Path) -> None:
    text = path.read_text()
    missing = [
        part
        for part in ("Context", "Decision")
        if not re.search(rf"^(## {part}|\*\*{part}\.\*\*)", text, re.M)
    ]
    assert missing == []


def test_no_number_is_given_twice() -> None:
    assert [
        number for number, times in Counter(each.number for each in decisions()).items() if times > 1
    ] == []


def test_the_template_is_one() -> None:
    template = read(DECISIONS.parent / "0000-template.md")
    assert template is not None
    assert template.status == "template"
