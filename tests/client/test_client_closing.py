"""A channel that is closed right after its call ends, however often."""

from __future__ import annotations

import subprocess
import sys

from tests.running import RunningBroker

_OPENS_AND_CLOSES = """
import sys
from pathlib import Path
from broker.client import Credentials, grpc_channel
from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc

target, url, cert, key, ca = sys.argv[1:]
for _ in range(200):
    with grpc_channel(target, url, Credentials(Path(cert), Path(key), Path(ca))) as channel:
        openai_pb2_grpc.OpenAIServiceStub(channel).ListModels(openai_pb2.ListModelsRequest(), timeout=10)
"""


def test_channels_that_are_closed_right_after_a_call_never_hang(broker: RunningBroker) -> None:
    """With a call credentials plugin, one of some hundred did: Python's lock and grpc's own crossed."""
    who = broker.identities["assistant"]
    arguments = [broker.grpc, broker.https, str(who.cert), str(who.key), str(broker.ca)]
    command = [sys.executable, "-c", _OPENS_AND_CLOSES, *arguments]
    subprocess.run(command, check=True, timeout=60)
