"""One keystore for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keystore.rig import SealedRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SealedRig]:
    rig = SealedRig(tmp_path / "keys")
    yield rig
    rig.vault.close()
