"""Keys rotated under a serving broker's load: no call fails, none has a key replaced a second before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import RunningBroker
from tests.sizes import sized
from tests.vault.load import KEYS
from tests.vault.server import RealVault
from tests.vault.serving import serving
from tests.vault.serving_figures import loaded, rotated

pytestmark = pytest.mark.servers


CALLS_PER_SECOND = sized(30, 100)


@pytest.fixture(scope="module")
def broker(real_vault: RealVault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with serving(tmp_path_factory.mktemp("rotation") / "b", real_vault, KEYS) as broker:
        yield broker


async def test_rotations_under_load_cost_no_call(server: RealVault, broker: RunningBroker) -> None:
    found = await rotated(server, broker, rate=CALLS_PER_SECOND, seconds=10, times=4)
    assert found["rotations"] == 4
    assert found["failed"] == 0
    assert found["with_a_key_replaced_over_1_s_before"] == 0
    assert len(str(found["calls_by_version"]).split(",")) == 5, "some version was never used"


async def test_vault_is_asked_for_key_material_less_than_once_a_second(
    server: RealVault, broker: RunningBroker
) -> None:
    found = await loaded(server, broker, rate=CALLS_PER_SECOND, seconds=5)
    assert found["failed"] == 0
    assert float(str(found["vault_key_reads_per_s"])) <= 1
    assert 0 < float(str(found["vault_version_reads_per_s"])) <= 1.2
    assert float(str(found["lease_p50_within_us"])) <= 200
