"""SIGKILL at random moments, through real connections: what a caller was told is in the log, and stays.

The full figure of 10,000 calls: `python -m tests.e2e.kill --calls 10000`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e import kill
from tests.e2e.upstreams import behind, received
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


@dataclass(frozen=True)
class Bereaved:
    """A broker whose log's writer was killed: what it wrote, its exit code, what it still answered and sent,
    and what the next broker of its folder answered.
    """

    said: str
    code: int
    answered: list[int]
    sent: list[object]
    again: int


@pytest.fixture(scope="module")
def bereaved(tmp_path_factory: pytest.TempPathFactory) -> Bereaved:
    home = tmp_path_factory.mktemp("bereaved")
    with behind(home) as upstream:
        broker = start_broker(home / "b", *upstream)
        token, answered = broker.token("assistant"), []
        [writer] = children(broker.process.pid)
        os.kill(writer, signal.SIGKILL)
        with contextlib.suppress(httpx.TransportError):  # it may have ended by then
            answered.append(_said_hello(broker, token).status_code)
        code = broker.process.wait(20)
        broker.stop()
        sent, said = received(broker.upstream)["entries"], broker.errors.read_text()
        again = start_broker(home / "b", *upstream)
        try:
            status = _said_hello(again, again.token("assistant")).status_code
        finally:
            again.stop()
    return Bereaved(said, code, answered, sent, status)


def test_a_broker_whose_log_writer_is_killed_does_nothing_more(bereaved: Bereaved) -> None:
    assert set(bereaved.answered) <= {httpx.codes.SERVICE_UNAVAILABLE}
    assert bereaved.code == 1
    assert bereaved.sent == []
    assert bereaved.again == httpx.codes.OK
    assert "log can no longer be written" in bereaved.said


def test_a_killed_writer_leaves_no_traceback_and_skips_no_step(bereaved: Bereaved) -> None:
    assert "Traceback" not in bereaved.said
    assert "stopped" in bereaved.said
    assert "not_stopped" not in bereaved.said
