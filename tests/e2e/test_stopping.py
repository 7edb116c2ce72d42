"""How a broker ends, and what it says when it must not go on: told, recorded and bounded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import plain
from tests.commands import typed
from tests.e2e.test_restart import NOWHERE
from tests.processes import children, freeze
from tests.running import RunningBroker, start_broker


@contextmanager
def _broker(home: Path, until: str = "ready", **environment: str) -> Iterator[RunningBroker]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        broker = start_broker(home / "b", *NOWHERE, until=until)
        try:
            yield broker
        finally:
            broker.stop()


def _records(broker: RunningBroker) -> list[dict[str, Any]]:
    shown = typed("audit", "show", broker.log, "--json", "--limit", 100_000)
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_readiness_tells_within_seconds_that_the_writer_is_stopped(tmp_path: Path) -> None:
    with _broker(tmp_path) as broker, broker.http(None) as client:
        assert client.get("/readyz").status_code == httpx.codes.OK
        [writer] = children(broker.process.pid)
        freeze(writer)
        deadline = time.monotonic() + 5
        while client.get("/readyz").status_code == httpx.codes.OK:
            assert time.monotonic() < deadline, "still ready"
            time.sleep(0.2)
        began = time.monotonic()
        assert broker.process.wait(30) == 1  # it was stopped for longer than a disk may hang
        assert time.monotonic() - began < 25


def test_an_ungranted_certificate_fills_no_disk(tmp_path: Path) -> None:
    with _broker(
        tmp_path, BROKER__LIMITS__REFUSALS_BURST="100", BROKER__AUDIT__REFUSALS_RECORDED="10"
    ) as broker:
        statuses = []
        with broker.http("intruder") as client:
            form = {"grant_type": "client_credentials", "scope": "chat:gpt-4o"}
            for _ in range(300):
                reply = client.post("/oauth/token", data=form)
                statuses.append(reply.status_code)
        assert statuses[0] in {400, 403}
        assert statuses[-1] == 429
        assert int(reply.headers["retry-after"]) >= 1
        broker.token("assistant")  # others are not meant
        broker.stop()
    denied = [record for record in _records(broker) if record["type"] == "denied"]
    assert len(denied) < 30
    assert sum(record.get("count", 1) for record in denied) == 300
    counted = [record for record in denied if "count" in record]
    assert all(record["first_us"] <= record["last_us"] for record in counted)


def test_at_the_floor_calls_are_refused_and_the_log_is_closed(tmp_path: Path) -> None:
    with _broker(tmp_path, until="waiting: space", BROKER__AUDIT__FLOOR_FREE_BYTES=str(2**60)) as broker:
        with broker.http("assistant") as client:
            assert client.get("/readyz").json()["missing"] == "space for the audit log"
            form = {"grant_type": "client_credentials", "scope": ""}
            assert client.post("/oauth/token", data=form).status_code == httpx.codes.SERVICE_UNAVAILABLE
        metrics = plain.get(f"{broker.console}/metrics").text
        assert "broker_log_free_bytes" in metrics
        broker.stop()
    assert [record["type"] for record in _records(broker)] == ["key", "start", "config", "close"]
    assert "log_space_exhausted" in broker.errors.read_text()
