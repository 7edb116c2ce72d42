"""SIGKILL at random moments, through real connections: what a caller was told is in the log, and stays.

The full figure of 10,000 calls: `python -m tests.e2e.kill --calls 10000`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.e2e import kill
from tests.e2e.upstreams import received, simulator_process
from tests.processes import children
from tests.running import RunningBroker, start_broker
from tests.sizes import sized

CALLS = sized(500, 10_000)


@pytest.mark.servers
def test_sigkill_loses_no_acknowledged_record_and_leaves_no_call_open(tmp_path: Path) -> None:
    said: list[str] = []
    found = kill.run(tmp_path, CALLS, said.append)
    assert found.good, "\n".join([*said, *found.lines()])
    assert len(found.seen.whole) > CALLS * 0.8
    assert found.upstream >= len(found.seen.whole)
    assert found.closed_by["recovered"] > 0, "no kill met a call in flight: the test proved too little"
    assert sum("killed" in line for line in said) == kill.KILLS


def _said_hello(broker: RunningBroker, token: str) -> httpx.Response:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    with broker.http("assistant") as client:
        return client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {token}"})


def test_a_broker_whose_log_writer_is_killed_does_nothing_more(tmp_path: Path) -> None:
    key = tmp_path / "upstream.key"
    key.write_text("sk-kill-0123456789abcdefghijklmnop")
    with simulator_process(key) as url:
        upstream = ("--upstream", f"{url}/v1", "--upstream-key-file", str(key))
        broker = start_broker(tmp_path / "b", *upstream)
        token = broker.token("assistant")
        [writer] = children(broker.process.pid)
        os.kill(writer, signal.SIGKILL)
        with contextlib.suppress(httpx.TransportError):  # it may have ended by then
            assert _said_hello(broker, token).status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert broker.process.wait(20) == 1
        broker.stop()
        assert received(url)["entries"] == []
        again = start_broker(tmp_path / "b", *upstream)
        try:
            assert _said_hello(again, again.token("assistant")).status_code == httpx.codes.OK
        finally:
            again.stop()
    assert "log can no longer be written" in broker.errors.read_text()
