"""One loaded engine for all tests; policies are tried once while they stay the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from tests.nursery import the_nursery
from tests.policy.engines import WITH_FIXTURE, briefly
from tests.trials import tried_once


@pytest.fixture(scope="package", autouse=True)
def _trials() -> Iterator[None]:
    the_nursery()
    with tried_once():
        yield


@pytest.fixture(scope="session")
def authorizer() -> EmbeddedAuthorizer:
    return EmbeddedAuthorizer(WITH_FIXTURE, briefly)
