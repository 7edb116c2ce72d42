"""One keystore for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.keystore.rig import SealedRig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[SealedRig]:
    rig = SealedRig(tmp_path / "keys")
    yield rig
    await rig.vault.aclose()
