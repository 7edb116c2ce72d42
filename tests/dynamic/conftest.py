"""One rig a test; its broker ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.dynamic.rig import Rig
from tests.shortlived.wire import Fault


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.vault.start()
    yield rig
    rig.wire.fault = Fault.NONE
    await rig.vault.aclose()
