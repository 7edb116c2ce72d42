"""What grpc is told by its environment, which it takes once."""

from __future__ import annotations

import subprocess
import sys

_SERVES = """
import broker.listeners.grpc, grpc.aio, asyncio
async def serve():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(None)
asyncio.run(serve())
"""


def test_grpc_knows_the_experiment_that_is_turned_off() -> None:
    """It is named on standard error otherwise, and adr/0078 is without effect."""
    done = subprocess.run([sys.executable, "-c", _SERVES], capture_output=True, text=True, check=True)
    assert done.stderr == ""
