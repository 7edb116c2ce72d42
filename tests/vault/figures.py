"""What a lease costs and how often Vault is asked, on a real Vault: python -m tests.vault.figures

Sixty seconds of 500 calls a second, ten rotations among them. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from tests.vault.server import RealVault, prepare
from tests.vault.setups import KEY, app_role, vault_on

SECONDS = 60
CALLS_PER_SECOND = 500
ROTATIONS = 10


async def measure(server: RealVault) -> dict[str, float]:
    server.put("openai", KEY)
    vault = vault_on(server, app_role(server, "figures"))
    await vault.start()
    await vault.lease("openai")
    rotated = {1: time.monotonic()}
    rotations = asyncio.ensure_future(_rotate(server, rotated))
    calls: list[tuple[float, float, int]] = []
    began, due = time.monotonic(), time.monotonic()
    before = len(server.audited())
    while due < began + SECONDS:
        started = time.monotonic()
        lease = await vault.lease("openai")
        calls.append((started, time.monotonic() - started, lease.key_version))
        due += 1 / CALLS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await rotations
    read = [entry["path"] for entry in server.audited()[before:] if entry["operation"] == "read"]
    await vault.aclose()
    costs = sorted(cost for _, cost, _ in calls)
    return {
        "calls": len(calls),
        "p50_us": round(costs[len(costs) // 2] * 1e6, 1),
        "p99_us": round(costs[len(costs) * 99 // 100] * 1e6, 1),
        "max_us": round(costs[-1] * 1e6, 1),
        "rotations": len(rotated) - 1,
        "calls_with_a_key_replaced_over_1_s_before": sum(_outdated(call, rotated) for call in calls),
        "key_reads_per_s": round(sum("/data/" in path for path in read) / SECONDS, 3),
        "version_reads_per_s": round(sum("/metadata/" in path for path in read) / SECONDS, 3),
    }


async def _rotate(server: RealVault, rotated: dict[int, float]) -> None:
    for version in range(2, ROTATIONS + 2):
        await asyncio.sleep(SECONDS / (ROTATIONS + 1))
        await asyncio.to_thread(server.put, "openai", f"sk-rotation-{version:08}")
        rotated[version] = time.monotonic()


def _outdated(call: tuple[float, float, int], rotated: dict[int, float]) -> bool:
    started, _, version = call
    successor = rotated.get(version + 1)
    return successor is not None and successor <= started - 1.0


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        server = RealVault(Path(directory))
        try:
            prepare(server)
            print(json.dumps(asyncio.run(measure(server)), indent=2))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
