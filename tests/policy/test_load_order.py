"""The engine's native library must be loaded before those whose C++ runtime it does not get along with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sizes import sized

PROGRAM = """
{first}
import asyncio
from pathlib import Path
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import prove
from broker.ports import DecisionPoint
from tests.policy.documents import call

async def decide(engine, numbers):
    for number in numbers:
        await engine.evaluate(DecisionPoint.CALLS, call("assistant", "gpt-4o", tokens_out=number))

async def main():
    engine = EmbeddedAuthorizer(Path("policies"), lambda source: prove(source, seconds=0))
    await decide(engine, range({some}))
    before = int(Path("/proc/self/statm").read_text().split()[1])
    await decide(engine, range({some}, 2 * {some}))
    print(4 * (int(Path("/proc/self/statm").read_text().split()[1]) - before))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "first", ["import broker.cli.main", "import broker.client", "import broker.prefilter.inspector"]
)
def test_decisions_leave_no_memory_behind_whatever_is_imported_first(first: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(first=first, some=sized(1024, 2048))]
    grown_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown_kib < 4000, "17 KB a decision are lost where the wrong library was loaded first"
