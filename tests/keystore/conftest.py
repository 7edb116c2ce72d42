"""One keystore for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.keystore.fakes import SealedSetup


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[SealedSetup]:
    rig = SealedSetup(tmp_path / "keys")
    yield rig
    await rig.source.aclose()
