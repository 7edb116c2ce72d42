"""One real Vault and one real store for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nursery import the_nursery
from tests.state.server import RealStore
from tests.trials import tried_once
from tests.vault.authority import set_up
from tests.vault.server import RealVault, prepare


@pytest.fixture(scope="package", autouse=True)
def _trials() -> Iterator[None]:
    the_nursery()
    with tried_once():
        yield


@pytest.fixture(scope="package")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVault]:
    server = RealVault(tmp_path_factory.mktemp("vault"))
    prepare(server)
    set_up(server)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    server = RealStore(tmp_path_factory.mktemp("store"))
    yield server
    server.stop()
