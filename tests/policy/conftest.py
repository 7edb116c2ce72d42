"""One loaded engine for all tests."""

from __future__ import annotations

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import prove
from tests.policy.engines import WITH_FIXTURE


@pytest.fixture(scope="session")
def authorizer() -> EmbeddedAuthorizer:
    return EmbeddedAuthorizer(WITH_FIXTURE, prove)
