"""Inspectors that tests share. They are made for the first who asks: to compile one takes a third of a
second, which not every process that collects tests is to spend.
"""

from __future__ import annotations

from functools import lru_cache

from broker.prefilter.inspector import Inspector
from broker.prefilter.rules import Rule
from tests.prefilter.samples import TOPICS


@lru_cache(maxsize=1)
def usual() -> Inspector:
    """Of the rules that there are without settings."""
    return Inspector()


@lru_cache(maxsize=1)
def with_topics() -> Inspector:
    """Of those and the topics of the samples."""
    return Inspector(TOPICS)


@lru_cache(maxsize=2)
def watching(watched: tuple[Rule, ...]) -> Inspector:
    """Of these rules alone."""
    return Inspector(watched=watched)
