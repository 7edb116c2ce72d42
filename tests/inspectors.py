"""Inspectors that many tests share. Each is compiled for the first test that asks, so that whoever only loads
the tests, as each process of `make test` does with all of them, does not wait for it.
"""

from __future__ import annotations

from functools import cache

from broker.prefilter.inspector import Inspector
from broker.prefilter.rules import Rule


@cache
def shared_inspector(
    topics: tuple[str, ...] = (),
    phrases: tuple[str, ...] | None = None,
    watched: tuple[Rule, ...] | None = None,
) -> Inspector:
    """As the constructor's arguments; the same for the same."""
    return Inspector(topics, phrases, watched=watched)
