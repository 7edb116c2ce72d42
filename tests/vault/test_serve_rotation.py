"""Keys rotated under a serving broker's load: no call fails, none has a key replaced a second before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vault.load import KEYS
from tests.vault.server import RealVault
from tests.vault.serving import serving
from tests.vault.serving_figures import loaded, rotated

pytestmark = pytest.mark.servers


async def test_rotations_under_load_cost_no_call(server: RealVault, tmp_path: Path) -> None:
    with serving(tmp_path / "b", server, KEYS) as broker:
        found = await rotated(server, broker, rate=60, seconds=10, times=4)
    assert found["rotations"] == 4
    assert found["failed"] == 0
    assert found["with_a_key_replaced_over_1_s_before"] == 0
    assert len(str(found["calls_by_version"]).split(",")) == 5, "some version was never used"


async def test_vault_is_asked_for_key_material_less_than_once_a_second(
    server: RealVault, tmp_path: Path
) -> None:
    with serving(tmp_path / "b", server, KEYS) as broker:
        found = await loaded(server, broker, rate=100, seconds=5)
    assert found["failed"] == 0
    assert float(str(found["vault_key_reads_per_s"])) <= 1
    assert 0 < float(str(found["vault_version_reads_per_s"])) <= 1.2
    assert float(str(found["lease_p50_within_us"])) <= 200
