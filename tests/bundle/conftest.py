"""Policies are tried once while they stay the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nursery import the_nursery
from tests.trials import tried_once


@pytest.fixture(scope="package", autouse=True)
def _trials() -> Iterator[None]:
    the_nursery()
    with tried_once():
        yield
