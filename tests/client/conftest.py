"""The endpoint, and credentials it accepts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.client import Credentials
from tests.client.endpoint import Endpoint, serving
from tests.client.pki import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def endpoint(authority: Authority) -> Iterator[Endpoint]:
    with serving(authority) as running:
        yield running


@pytest.fixture(scope="session")
def credentials(authority: Authority) -> Credentials:
    leaf = authority.leaf("client")
    return Credentials(leaf.cert, leaf.key, authority.ca)
