"""One real store for all tests of this folder; each has a deployment of its own, and leaves it running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.state.server import RealStore


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    server = RealStore(tmp_path_factory.mktemp("store"))
    yield server
    server.stop()


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    """One for a test that breaks it."""
    server = RealStore(tmp_path_factory.mktemp("store"))
    yield server
    server.stop()
