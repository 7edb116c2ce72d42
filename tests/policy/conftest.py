"""One loaded engine for all tests; the comparison with OPA runs where there is an OPA (`make servers`)."""

from __future__ import annotations

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from tests.policy.engines import OPA, POLICIES

collect_ignore = [] if OPA else ["test_against_opa.py"]


@pytest.fixture(scope="session")
def authorizer() -> EmbeddedAuthorizer:
    return EmbeddedAuthorizer(POLICIES)
