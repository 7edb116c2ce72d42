"""What a restart must not forget, and what it must refuse, with a real broker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest

from broker.gen.broker.v1 import audit_pb2, audit_pb2_grpc
from tests.nursery import the_nursery
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
NOWHERE = ("--upstream", "http://127.0.0.1:9/v1", *SMALL_POLICIES)


def _chat(broker: RunningBroker, token: str) -> httpx.Response:
    with broker.http("assistant") as client:
        return client.post("/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {token}"})


@dataclass
class Lives:
    """One folder, and the broker that lives there: one after the other."""

    home: Path
    revoked: int = 0
    _broker: RunningBroker | None = None

    def broker(self) -> RunningBroker:
        """The one that lives; it is started where none does."""
        if self._broker is None:
            self._broker = start_broker(self.home, *NOWHERE)
        return self._broker

    def end(self, how: str = "stop") -> None:
        if self._broker is not None:
            getattr(self._broker, how)()
        self._broker = None


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    lives = Lives(tmp_path_factory.mktemp("lives") / "b")
    yield lives
    lives.end()


@pytest.mark.parametrize("end", ["stop", "kill_all"])
def test_a_revoked_token_stays_revoked_after_a_restart(lives: Lives, end: str) -> None:
    broker = lives.broker()
    token, other = broker.token("assistant"), broker.ask_token("assistant").json()["access_token"]
    with broker.http("assistant") as client:
        client.post("/oauth/revoke", data={"token": token}).raise_for_status()
    lives.revoked += 1
    lives.end(end)
    again = lives.broker()
    assert _chat(again, token).json()["error"]["reason"] == "TOKEN_REVOKED"
    assert _chat(again, other).json()["error"]["reason"] == "UPSTREAM_UNAVAILABLE"
    _read_back(again, _chat(again, other).headers["x-broker-call-id"], lives.revoked)


def _read_back(broker: RunningBroker, call_id: str, revoked: int) -> None:
    """An auditor finds the call's records at once, and that so many tokens were revoked."""
    who = broker.identities["auditor"]
    credentials = grpc.ssl_channel_credentials(
        broker.ca.read_bytes(), who.key.read_bytes(), who.cert.read_bytes()
    )
    with grpc.secure_channel(broker.grpc, credentials) as channel:
        audit = audit_pb2_grpc.AuditServiceStub(channel)
        found = audit.GetRecord(audit_pb2.GetRecordRequest(call_id=call_id), timeout=20)
        assert [entry.record.type for entry in found.entries] == ["intent", "outcome"]
        listed = audit.ListRecords(audit_pb2.ListRecordsRequest(types=["revoked"]), timeout=20)
        assert [reply.entry.record.operation for reply in listed] == ["token.revoke"] * revoked


def test_a_broker_does_not_begin_a_deleted_log_anew(lives: Lives) -> None:
    lives.broker()
    lives.end()
    kept = (lives.home / "log").rename(lives.home / "kept")
    free = ["--https", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--console", "127.0.0.1:0"]
    done = the_nursery().spawn("dev", "--dir", str(lives.home), *NOWHERE, *free).done()
    assert done.returncode == 3
    for hint in ("0 entries where", "were acknowledged", "restore", "audit.origin"):
        assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stdout
    if (lives.home / "log").exists():
        shutil.rmtree(lives.home / "log")
    kept.rename(lives.home / "log")
