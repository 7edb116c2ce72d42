"""What is left of limits, as callers, operators and attackers ask a running broker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from broker.gen.broker.v1 import limits_pb2, limits_pb2_grpc
from broker.model.record import RecordType
from tests.commands import Done, typed
from tests.e2e.limiting import DEV, limited_broker
from tests.e2e.raw import bearer, channel
from tests.e2e.records import entries
from tests.running import RunningBroker, start_broker

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
LIMITS = {
    "assistant": {
        "calls/day": {"unit": "requests", "cap": 2, "calendar": "day"},
        "calls/hour": {"unit": "requests", "cap": 100, "sliding_seconds": 3600},
        "streams": {"unit": "concurrent_streams", "cap": 2},
        "watched": {"unit": "requests", "cap": 1, "calendar": "day", "observe": True},
    },
    "batch": {name: {"unit": "requests", "cap": 9, "calendar": "day"} for name in (":fire:", '[b]50%"é')},
    "explorer": {"spend/month": {"unit": "micro_usd", "cap": 1_000_000_000, "calendar": "month"}},
}
DAY = f"{DEV}/assistant calls/day"


@pytest.fixture
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with limited_broker(tmp_path_factory.mktemp("limits"), LIMITS) as running:
        yield running


def _ask(broker: RunningBroker, identity: str = "assistant") -> int:
    with broker.http(identity) as client:
        return client.post("/v1/chat/completions", json=CHAT, headers=bearer(broker, identity)).status_code


def _limits(broker: RunningBroker, *words: str, identity: str = "operator") -> Done:
    return typed("limits", *words, "--as", identity, "--dev", broker.directory)


def _listed(done: Done) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)["limits"]
    return listed


def test_a_caller_sees_what_its_own_calls_count_against_and_takes_nothing_by_looking(
    limited: RunningBroker,
) -> None:
    assert _ask(limited) == 200
    for _ in range(2):
        own = _listed(_limits(limited, "show", "--mine", "--json", identity="assistant"))
    left = {each["limit"].rpartition(" ")[2]: (each["remaining"], each["cap"]) for each in own}
    assert left == {"calls/day": (1, 2), "calls/hour": (99, 100), "streams": (2, 2)}
    resets = {each["limit"].rpartition(" ")[2]: each["reset_seconds"] for each in own}
    assert resets["streams"] is None
    assert 0 < resets["calls/day"] <= 86_400
    assert _ask(limited) == 200
    shown = _limits(limited, "show", "--mine", identity="assistant")
    assert re.search(r"│ +0 │ +2 requests │", shown.stdout), shown.stderr
    with channel(limited, "assistant") as opened:
        stub = limits_pb2_grpc.LimitServiceStub(opened)
        token = (("authorization", bearer(limited, "assistant")["authorization"]),)
        told = stub.GetOwnLimits(limits_pb2.GetOwnLimitsRequest(model="gpt-4o-mini"), metadata=token)
        assert {(each.limit, each.remaining) for each in told.limits} >= {(DAY, 0)}


def test_an_operator_sees_what_is_nearly_used_up_and_has_it_begin_anew(limited: RunningBroker) -> None:
    assert [_ask(limited) for _ in range(3)] == [200, 200, 429]
    assert _ask(limited, "explorer") == 200
    first, *others = _listed(_limits(limited, "top", "--json"))
    assert (first["limit"].rpartition(" ")[2], first["taken"], first["cap"]) == ("watched", 2, 1)
    assert (others[0]["limit"], others[0]["taken"], others[0]["cap"]) == (DAY, 2, 2)
    [hour] = _listed(_limits(limited, "show", "calls/hour", "--json"))
    assert (hour["taken"], hour["cap"]) == (2, 100)
    given = _limits(limited, "reset", DAY)
    assert "2 requests" in given.stdout, given.stderr
    assert _ask(limited) == 200
    again = _limits(limited, "reset", f"{DEV}/nobody calls/day")
    assert again.returncode == 1
    assert "broker limits show" in again.stderr
    limited.stop()
    [reset] = [
        e.record for e in entries(limited.log) if e.record.type is RecordType.LIMIT and e.record.adjusted
    ]
    assert (reset.reason, reset.subject) == ("reset", f"{DEV}/operator")
    assert [(each.limit, each.amount) for each in reset.adjusted or ()] == [(DAY, -2)]


def test_what_was_given_back_stays_so_after_a_restart(limited: RunningBroker) -> None:
    assert [_ask(limited) for _ in range(2)] == [200, 200]
    assert _limits(limited, "reset", DAY).returncode == 0
    assert _ask(limited) == 200
    limited.kill_all()
    again = start_broker(limited.directory, "--policies", str(limited.directory.parent / "policies"))
    assert [_ask(again) for _ in range(2)] == [200, 429]
    again.stop()


def test_resets_at_once_give_back_once(limited: RunningBroker) -> None:
    assert [_ask(limited) for _ in range(2)] == [200, 200]
    with limited.http("operator") as client, ThreadPoolExecutor(4) as pool:
        replies = pool.map(lambda _: client.post("/limits/reset", data={"limit": DAY}), range(4))
        assert sorted(reply.status_code for reply in replies) == [200, 404, 404, 404]
    assert [_ask(limited) for _ in range(2)] == [200, 200]
    limited.kill_all()
    again = start_broker(limited.directory, "--policies", str(limited.directory.parent / "policies"))
    assert _ask(again) == 429, "the log's sum is what it was"
    again.stop()


def test_a_name_is_shown_as_it_is_and_that_there_is_more_is_told(limited: RunningBroker) -> None:
    assert _ask(limited, "batch") == 200
    own = _limits(limited, "show", "--mine", identity="batch")
    assert ":fire:" in own.stdout
    assert '[b]50%"é' in own.stdout
    shown = _limits(limited, "show", ":fire:")
    assert ":fire:" in shown.stdout
    assert shown.stderr == ""
    assert "there may be more" in _limits(limited, "show", "--most", "1", "--json").stderr
    assert "Policy limits no such call" in _limits(limited, "show", "--mine", identity="auditor").stdout


@pytest.mark.parametrize("words", [("show",), ("top",), ("reset", DAY)])
def test_a_caller_without_the_right_learns_of_no_limit_and_resets_none(
    limited: RunningBroker, words: tuple[str, ...]
) -> None:
    assert [_ask(limited) for _ in range(2)] == [200, 200]
    refused = _limits(limited, *words, identity="intruder")
    assert refused.returncode == 1
    assert DAY not in refused.stdout
    assert "Policy does not allow this" in refused.stderr
    assert _ask(limited) == 429


def test_a_stolen_or_missing_token_tells_of_no_limit(limited: RunningBroker) -> None:
    stolen = bearer(limited, "assistant")
    with limited.http("explorer") as client:
        assert client.get("/limits/mine", headers=stolen).json()["error"]["reason"] == "TOKEN_NOT_YOURS"
        assert client.get("/limits/mine").status_code == 401
    with channel(limited, "explorer") as opened, pytest.raises(grpc.RpcError) as refused:
        limits_pb2_grpc.LimitServiceStub(opened).GetOwnLimits(limits_pb2.GetOwnLimitsRequest())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/limits/mine?operation=nothing", "operation"),
        ("/limits/mine?model=a&model=b", "query"),
        ("/limits/mine?subject=spiffe://dev.broker/ns/demo/sa/batch", "query"),
        ("/limits?most=0", "most"),
        ("/limits?most=1001", "most"),
        ("/limits?most=-1", "most"),
    ],
)
def test_what_nobody_can_ask_is_refused_with_its_name(limited: RunningBroker, path: str, named: str) -> None:
    identity = "assistant" if "mine" in path else "operator"
    headers = bearer(limited, "assistant") if "mine" in path else {}
    with limited.http(identity) as client:
        reply: httpx.Response = client.get(path, headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, named)
