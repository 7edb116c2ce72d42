"""Writes the README's tables anew: `python -m tests.docs`."""

from tests.docs.tables import README, rewritten

README.write_text(rewritten(README.read_text()))
