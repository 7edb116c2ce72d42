"""What a call pays for a key that is there: a dictionary and a clock."""

from __future__ import annotations

import time
from pathlib import Path

from tests.dynamic_keys.fakes import DynamicSetup as DynamicRig
from tests.federation.fakes import FederatedSetup as FederatedRig

_CALLS = 20_000
_MOST_MICROSECONDS = 5.0  # measured: 0.6 on a quiet machine


async def test_a_dynamic_key_costs_microseconds() -> None:
    rig = DynamicRig()
    await rig.key()
    began = time.perf_counter()
    for _ in range(_CALLS):
        await rig.source.lease("chat")
    assert (time.perf_counter() - began) / _CALLS * 1e6 < _MOST_MICROSECONDS
    assert len(rig.wire.heard) == 3
    await rig.source.aclose()


async def test_an_access_token_costs_microseconds(tmp_path: Path) -> None:
    rig = FederatedRig(tmp_path)
    await rig.key()
    began = time.perf_counter()
    for _ in range(_CALLS):
        await rig.source.lease("openai")
    assert (time.perf_counter() - began) / _CALLS * 1e6 < _MOST_MICROSECONDS
    assert len(rig.wire.heard) == 1
    await rig.source.aclose()
