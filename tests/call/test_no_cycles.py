"""What a call held goes with the call: cycles would keep it, and its reply's text, until the collector comes,
and every call after it would have to find its memory elsewhere.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from broker.call.metering import Meter
from tests.call.opened import opened


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_what_was_delivered_goes_with_its_meter() -> None:
    meter = Meter()
    meter.streamed({"choices": [{"index": 0, "delta": {"content": "hello"}}]})
    assert meter.delivered.tokens() > [0]
    delivered = weakref.ref(meter.delivered)
    del meter
    assert delivered() is None


async def test_a_call_that_is_closed_goes_at_once() -> None:
    audited = await opened()
    await audited.close()
    meter = weakref.ref(audited.call.meter)
    del audited
    assert meter() is None
