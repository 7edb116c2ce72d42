"""Rotation and load end to end, with a real broker and Vault: python -m tests.vault.serving_figures

A minute of 200 calls a second with ten rotations, then one of 500. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.running import RunningBroker
from tests.vault.load import KEYS, Rotations, asked, lease_counts, steady, versions, within
from tests.vault.server import RealVault, prepare
from tests.vault.serving import serving


async def rotated(
    server: RealVault, broker: RunningBroker, rate: int, seconds: float, times: int
) -> dict[str, object]:
    """A load with rotations: failed calls, and calls that began with a key replaced a second before."""
    rotations = Rotations()
    await rotations.write(server, 1)
    turning = asyncio.create_task(rotations.rotate(server, times, seconds))
    calls = await steady(broker, rate, seconds)
    await turning
    bore = await asyncio.to_thread(versions, broker)
    return {
        "calls": len(calls),
        "rotations": len(rotations.done) - 1,
        "failed": sum(call.status != 200 for call in calls),
        "with_a_key_replaced_over_1_s_before": sum(
            rotations.outdated(call, bore[call.call_id]) for call in calls
        ),
        "calls_by_version": dict(sorted(Counter(bore[call.call_id] for call in calls).items())),
    }


async def loaded(server: RealVault, broker: RunningBroker, rate: int, seconds: float) -> dict[str, object]:
    """A load without rotations: what Vault was asked, and how long leases took."""
    server.put("openai", KEYS[0])
    await steady(broker, rate, 2)
    before, since = lease_counts(broker), len(server.audited())
    begun = time.monotonic()
    calls = await steady(broker, rate, seconds)
    took = time.monotonic() - begun  # more than `seconds` where the machine is busy
    reads, after = asked(server, since), lease_counts(broker)
    return {
        "calls": len(calls),
        "calls_per_s": round(len(calls) / (calls[-1].began - calls[0].began), 1),
        "failed": sum(call.status != 200 for call in calls),
        "lease_p50_within_us": round(within(before, after, 0.5) * 1e6),
        "lease_p99_within_us": round(within(before, after, 0.99) * 1e6),
        "vault_key_reads_per_s": round(reads["data"] / took, 3),
        "vault_version_reads_per_s": round(reads["metadata"] / took, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.vault.serving_figures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory:
        server = RealVault(Path(directory) / "vault")
        try:
            prepare(server)
            with serving(Path(directory) / "b", server, KEYS) as broker:
                found = {
                    "rotation": asyncio.run(rotated(server, broker, 200, seconds, 10)),
                    "load": asyncio.run(loaded(server, broker, 500, seconds)),
                }
            print(json.dumps(found, indent=2))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
