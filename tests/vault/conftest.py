"""One real Vault for all tests of this folder; each leaves it running, unsealed and without keys. Policies
are tried once while they stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nursery import the_nursery
from tests.trials import tried_once
from tests.vault.server import RealVault, prepare


@pytest.fixture(scope="package", autouse=True)
def _trials() -> Iterator[None]:
    the_nursery()
    with tried_once():
        yield


@pytest.fixture(scope="session")
def real_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVault]:
    server = RealVault(tmp_path_factory.mktemp("vault"))
    prepare(server)
    yield server
    server.stop()


@pytest.fixture
def server(real_vault: RealVault) -> Iterator[RealVault]:
    """The shared Vault, put right again after a test that broke it."""
    yield real_vault
    real_vault.thaw()
    if real_vault.process.poll() is not None:
        real_vault.start()
    if real_vault.call("GET", "sys/seal-status")["sealed"]:
        real_vault.unseal()
    real_vault.grant()
    real_vault.forget_keys()
