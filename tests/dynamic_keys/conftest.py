"""One rig a test; its broker ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.dynamic_keys.fakes import DynamicSetup
from tests.ephemeral_keys.network import Fault


@pytest.fixture
async def rig() -> AsyncIterator[DynamicSetup]:
    rig = DynamicSetup()
    await rig.source.start()
    yield rig
    rig.wire.fault = Fault.NONE
    await rig.source.aclose()
