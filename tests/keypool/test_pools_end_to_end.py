"""A real broker with a pool of keys in front of a simulated OpenAI that turns some of them down."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from broker.adapters.keystore import SealedStore
from broker.gen.broker.v1 import chat_pb2, common_pb2, openai_pb2, openai_pb2_grpc
from broker.model.record import RecordType
from tests import plain
from tests.e2e.raw import bearer, channel, refusal
from tests.e2e.records import Since, outcome
from tests.e2e.upstreams import received, simulator_process
from tests.running import RunningBroker, start_broker

ROOT = Path(__file__).parents[2]
MEMBERS: tuple[dict[str, object], ...] = (
    {"key": "alpha", "weight": 3, "organization": "org-alpha", "project": "proj_alpha"},
    {"key": "beta"},
    {"key": "euro", "team": "claims", "region": "eu"},
)
"""One key for each name, whose last four characters are the name's."""
NAMES = ("alpha", "beta", "euro")
ALL_REFS = {f"sealed:{name}" for name in NAMES}


def key_of(name: str) -> str:
    return f"sk-simulated-0123456789abcdef-{name[-4:]}"


@dataclass(frozen=True)
class Pooled:
    """A broker, and the simulator before which its keys stand."""

    broker: RunningBroker
    simulator: str

    def trouble(self, name: str, knobs: str) -> None:
        """From now on the simulator answers this key so."""
        plain.post(f"{self.simulator}/sim/keys", json={"last4": name[-4:], "knobs": knobs}).raise_for_status()

    def rotate(self, name: str) -> int:
        """The version that it is from now on."""
        return SealedStore(self.broker.directory / "keys").put(name, key_of(name)).version

    def chat(
        self, text: str = "hi", identity: str = "assistant", model: str = "gpt-4o", **headers: str
    ) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        with self.broker.http(identity) as client:
            return client.post(
                "/v1/chat/completions", json=body, headers={**bearer(self.broker, identity), **headers}
            )

    def rpc(self, identity: str = "assistant", **metadata: str) -> grpc.Call:
        """One chat over gRPC; raises grpc.RpcError."""
        said = chat_pb2.ChatMessage(role=common_pb2.ROLE_USER, content=chat_pb2.ChatContent(text="hi"))
        asked = openai_pb2.CreateChatCompletionRequest(model="gpt-4o", messages=[said])
        sent = {**bearer(self.broker, identity), **metadata}
        with channel(self.broker, identity) as opened:
            stub = openai_pb2_grpc.OpenAIServiceStub(opened)
            _, call = stub.CreateChatCompletion.with_call(asked, metadata=tuple(sent.items()), timeout=20)
            return call

    def asked(self) -> list[dict[str, Any]]:
        """What the simulator received, oldest first."""
        found: list[dict[str, Any]] = received(self.simulator)["entries"]
        return found

    def keys_asked(self) -> list[str]:
        return [entry["key_last4"] for entry in self.asked()]

    def forget(self) -> None:
        plain.post(f"{self.simulator}/sim/reset").raise_for_status()

    def metrics(self) -> str:
        return plain.get(f"{self.broker.console}/metrics").text


def key_records(since: Since) -> list[tuple[str | None, str | None]]:
    """What the log says became of keys."""
    records = [entry.record for entry in since.entries()]
    return [
        (record.reason, record.key_ref)
        for record in records
        if record.type is RecordType.CONFIG and record.key_ref is not None
    ]


@contextmanager
def pooled(
    directory: Path, members: tuple[dict[str, object], ...] = MEMBERS, **regions: str
) -> Iterator[Pooled]:
    """A broker whose credential `openai` is a pool; `explorer` is placed with the team claims in the EU."""
    directory.mkdir()
    accepted = directory / "accepted.keys"
    accepted.write_text("\n".join(key_of(str(member["key"])) for member in members))
    policies = directory / "policies"
    shutil.copytree(ROOT / "policies", policies)
    grants = json.loads((policies / "data.json").read_text())
    grants["grants"]["spiffe://dev.broker/ns/demo/sa/explorer"]["placement"] = {"team": "claims"}
    grants["roles"]["explorer"]["placement"] = {"region": "eu"}
    (policies / "data.json").write_text(json.dumps(grants))
    for member in members:
        SealedStore(directory / "b" / "keys").put(str(member["key"]), key_of(str(member["key"])))
    with simulator_process(accepted) as url, pytest.MonkeyPatch.context() as environment:
        environment.setenv("BROKER__POOLS", json.dumps({"openai": {"members": members}}))
        environment.setenv("BROKER__UPSTREAM__REGIONS", json.dumps(regions))
        environment.setenv(
            "BROKER__SERVER__FORWARD_HEADERS", '["X-", "openai-", "co", "ke", "authorization"]'
        )
        broker = start_broker(directory / "b", "--upstream", f"{url}/v1", "--policies", str(policies))
        try:
            yield Pooled(broker, url)
        finally:
            broker.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooled]:
    """For tests that leave every key as sound as they found it."""
    with pooled(tmp_path_factory.mktemp("pooled") / "d") as running:
        yield running


@pytest.fixture
def pool(shared: Pooled) -> Iterator[Pooled]:
    shared.forget()
    yield shared
    shared.forget()


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooled]:
    with pooled(tmp_path_factory.mktemp("mended") / "d") as running:
        yield running


@pytest.fixture
def spoilt(mended: Pooled) -> Pooled:
    """For tests that put keys out of service: each begins with new ones, and it is alpha's turn."""
    renew(mended)
    while mended.keys_asked()[-1:] != ["beta"]:
        assert mended.chat().status_code == 200
    mended.forget()
    return mended


def renew(pool: Pooled) -> None:
    """All keys are quarantined and rotated: what was known of them counts no more, cooldowns neither."""
    for name in NAMES:
        pool.trouble(name, "401")
    for who in ("assistant", "assistant", "explorer"):  # the second time it is a key's turn without money
        assert pool.chat(identity=who, model="gpt-4o-mini").status_code == 503
    since = Since.now(pool.broker)
    pool.forget()
    for name in NAMES:
        pool.rotate(name)
    deadline = time.monotonic() + 10
    while {ref for reason, ref in key_records(since) if reason == "released"} != ALL_REFS:
        assert time.monotonic() < deadline, key_records(since)
        time.sleep(0.05)


def test_calls_are_shared_out_as_the_weights_say(pool: Pooled) -> None:
    for number in range(20):
        assert pool.chat().status_code == 200
        if number % 2:
            pool.rpc()
    assert Counter(pool.keys_asked()) in (Counter({"lpha": 22, "beta": 8}), Counter({"lpha": 23, "beta": 7}))


def test_the_outcome_names_the_key_and_the_upstream_hears_whom_to_bill(pool: Pooled) -> None:
    refs = set()
    for _ in range(4):
        refs.add(outcome(pool.broker.log, pool.chat().headers["x-broker-call-id"]).key_ref)
    assert refs == {"sealed:alpha", "sealed:beta"}
    said = {
        entry["key_last4"]: (
            entry["headers"].get("openai-organization"),
            entry["headers"].get("openai-project"),
        )
        for entry in pool.asked()
    }
    assert said == {"lpha": ("org-alpha", "proj_alpha"), "beta": (None, None)}


def test_a_caller_cannot_choose_the_organization(pool: Pooled) -> None:
    """Not even where `forward_headers` lets everything through that begins with `openai-`."""
    chosen = {"openai-organization": "org-mallory", "openai-project": "proj_mallory", "openai-other": "kept"}
    for _ in range(4):
        assert pool.chat(**chosen).status_code == 200
        pool.rpc(**chosen)
    heads = [entry["headers"] for entry in pool.asked()]
    assert len(heads) == 8
    assert {head["openai-other"] for head in heads} == {"kept"}
    assert not [head for head in heads if "mallory" in str(head)]
    assert {head.get("openai-organization") for head in heads} == {"org-alpha", None}


def test_cookies_and_what_is_the_brokers_never_go_upstream_whatever_is_forwarded(pool: Pooled) -> None:
    private = {"cookie": "session=mallory", "x-broker-purpose": "mallory"}
    assert pool.chat(**private, **{"keep-alive": "mallory", "x-team": "kept"}).status_code == 200
    pool.rpc(**private, **{"x-team": "kept"})
    heads = [entry["headers"] for entry in pool.asked()]
    assert [head["x-team"] for head in heads] == ["kept", "kept"]
    assert "mallory" not in str(heads)


def test_a_placed_call_is_served_by_the_keys_of_its_place_alone(pool: Pooled) -> None:
    for _ in range(6):
        assert pool.chat(identity="explorer").status_code == 200
        pool.rpc("explorer")
    assert set(pool.keys_asked()) == {"euro"}


def test_a_call_of_no_team_never_spends_a_teams_key(pool: Pooled) -> None:
    for _ in range(12):
        assert pool.chat().status_code == 200
    assert "euro" not in pool.keys_asked()


@pytest.mark.parametrize("listener", ["https", "grpc"])
def test_a_429_is_answered_by_another_key_at_once_and_the_first_one_rests(
    pool: Pooled, listener: str
) -> None:
    pool.trouble("alpha", "429/retry-after-ms:2000")
    began = time.monotonic()
    for _ in range(5):
        if listener == "https":
            assert pool.chat().status_code == 200
        else:
            pool.rpc()
    assert time.monotonic() - began < 2.0, "somebody waited for the key in cooldown"
    assert pool.keys_asked().count("lpha") == 1
    assert 'broker_keys{credential="openai",state="cooldown"} 1.0' in pool.metrics()
    pool.trouble("alpha", "")
    time.sleep(max(0.0, began + 2.2 - time.monotonic()))
    assert {pool.chat().status_code for _ in range(4)} == {200}
    assert pool.keys_asked().count("lpha") > 1
    assert 'broker_keys{credential="openai",state="usable"} 3.0' in pool.metrics()


def test_where_all_keys_rest_the_caller_is_told_when_to_come_back(spoilt: Pooled) -> None:
    for name in ("alpha", "beta"):
        spoilt.trouble(name, "429/retry-after-ms:25000")
    first = spoilt.chat()
    assert (first.status_code, first.headers["retry-after"]) == (429, "25")
    assert sorted(spoilt.keys_asked()) == ["beta", "lpha"]
    second = spoilt.chat()
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 20 <= float(second.headers["retry-after"]) <= 25
    record = outcome(spoilt.broker.log, second.headers["x-broker-call-id"])
    assert (record.status, record.error, record.key_ref) == (0, "UPSTREAM_RATE_LIMITED", None)
    with pytest.raises(grpc.RpcError) as caught:
        spoilt.rpc()
    assert refusal(caught.value).reason == "UPSTREAM_RATE_LIMITED"
    assert sorted(spoilt.keys_asked()) == ["beta", "lpha"], "a key in cooldown was asked"
    for name in ("alpha", "beta"):
        spoilt.trouble(name, "")
    assert spoilt.chat(model="gpt-4o-mini").status_code == 200, (
        "one exhausted model took the keys from another"
    )


@pytest.mark.parametrize("listener", ["https", "grpc"])
def test_where_a_projects_money_is_used_up_a_key_of_another_serves_and_it_is_told(
    spoilt: Pooled, listener: str
) -> None:
    since = Since.now(spoilt.broker)
    spoilt.trouble("alpha", "429-project-spend-limit")
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4o"):
        if listener == "https":
            assert spoilt.chat(model=model).status_code == 200
        else:
            spoilt.rpc()
    assert spoilt.keys_asked().count("lpha") == 1, "it was asked again, or tried again"
    assert 'broker_keys{credential="openai",state="unfunded"} 1.0' in spoilt.metrics()
    assert "project_spend_limit_exceeded" in since.said()
    assert key_of("alpha") not in since.said()


def test_where_no_money_is_left_the_caller_gets_openais_own_word(spoilt: Pooled) -> None:
    for name in NAMES:
        spoilt.trouble(name, "429-organization-spend-limit")
    for _ in range(2):
        before = len(spoilt.keys_asked())
        reply = spoilt.chat()
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (429, "organization_spend_limit_exceeded")
        assert "retry-after" not in reply.headers
        asked = spoilt.keys_asked()[before:]
        assert len(asked) == len(set(asked)), "a key was asked again"
    with pytest.raises(grpc.RpcError) as caught:
        spoilt.rpc()
    told = refusal(caught.value)
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_ERROR")
    assert "hard spend limit of your organization" in told.message
    assert spoilt.chat(identity="explorer").status_code == 429
    ready = plain.get(f"{spoilt.broker.console}/readyz")
    assert (ready.status_code, "no money left for any key: openai" in ready.text) == (200, True)
    for name in NAMES:
        spoilt.trouble(name, "")
    assert spoilt.chat().status_code == 200, "a limit that was raised counts at once"


@pytest.mark.parametrize("listener", ["https", "grpc"])
def test_a_revoked_key_is_quarantined_and_the_caller_sees_nothing_of_it(
    spoilt: Pooled, listener: str
) -> None:
    since = Since.now(spoilt.broker)
    spoilt.trouble("alpha", "401")
    for _ in range(8):
        if listener == "grpc":
            spoilt.rpc()
            continue
        reply = spoilt.chat()
        record = outcome(spoilt.broker.log, reply.headers["x-broker-call-id"])
        assert (reply.status_code, record.status, record.key_ref) == (200, 200, "sealed:beta")
        assert key_of("alpha")[-4:] not in reply.text + str(reply.headers)
    assert spoilt.keys_asked().count("lpha") == 1
    said = since.said()
    assert "key_quarantined" in said
    assert "sealed:alpha" in said
    assert "broker keys rotate alpha" in said
    assert key_of("alpha") not in said
    assert 'broker_keys{credential="openai",state="quarantined"} 1.0' in spoilt.metrics()
    assert plain.get(f"{spoilt.broker.console}/readyz").text == "ready\n"
    assert key_records(since) == [("quarantined", "sealed:alpha")]


def test_where_every_key_is_quarantined_the_operator_sees_it_and_a_rotation_ends_it(spoilt: Pooled) -> None:
    since = Since.now(spoilt.broker)
    for name in ("alpha", "beta", "euro"):
        spoilt.trouble(name, "401")
    replies = [spoilt.chat(identity=who) for who in ("assistant", "assistant", "explorer", "explorer")]
    assert [reply.status_code for reply in replies] == [503] * 4
    assert {reply.json()["error"]["code"] for reply in replies} == {"credential_store_unavailable"}
    assert not [reply for reply in replies if "lpha" in reply.text or "***" in reply.text]
    assert sorted(spoilt.keys_asked()) == ["beta", "euro", "lpha"]
    ready = plain.get(f"{spoilt.broker.console}/readyz")
    assert (ready.status_code, "every key is quarantined: openai" in ready.text) == (200, True)
    spoilt.forget()
    version = spoilt.rotate("beta")
    deadline = time.monotonic() + 5
    while (reply := spoilt.chat()).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    record = outcome(spoilt.broker.log, reply.headers["x-broker-call-id"])
    assert (record.key_ref, record.key_version) == ("sealed:beta", version)
    assert plain.get(f"{spoilt.broker.console}/readyz").text == "ready\n"
    assert sorted(key_records(since)) == [
        ("quarantined", "sealed:alpha"),
        ("quarantined", "sealed:beta"),
        ("quarantined", "sealed:euro"),
        ("released", "sealed:beta"),
    ]


def test_a_pinned_call_is_refused_rather_than_served_by_another_regions_key(spoilt: Pooled) -> None:
    spoilt.trouble("euro", "401")
    for _ in range(3):
        assert spoilt.chat(identity="explorer").status_code == 503
    with pytest.raises(grpc.RpcError) as caught:
        spoilt.rpc("explorer")
    assert refusal(caught.value).reason == "CREDENTIAL_STORE_UNAVAILABLE"
    assert set(spoilt.keys_asked()) == {"euro"}
    assert spoilt.chat().status_code == 200


def test_a_caller_cannot_put_keys_out_of_service_with_calls_beyond_their_scopes(spoilt: Pooled) -> None:
    for name in ("alpha", "beta"):
        spoilt.trouble(name, "401-scopes")
    for _ in range(4):
        reply = spoilt.chat()
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "credential_store_unavailable")
        assert "scopes" in reply.text
        assert "model.request" not in reply.text
    for name in ("alpha", "beta"):
        spoilt.trouble(name, "")
    assert spoilt.chat().status_code == 200
    assert 'broker_keys{credential="openai",state="usable"} 3.0' in spoilt.metrics()


def test_nothing_is_tried_with_another_key_after_the_first_byte(pool: Pooled) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "cut"}], "stream": True}
    headers = {**bearer(pool.broker, "assistant"), "x-sim-fault": "cut:1"}
    with pool.broker.http("assistant") as client:
        reply = client.post("/v1/chat/completions", json=body, headers=headers)
    assert "upstream_interrupted" in reply.text
    assert len(pool.asked()) == 1


def test_a_stream_turns_to_another_key_too(spoilt: Pooled) -> None:
    spoilt.trouble("alpha", "401")
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with spoilt.broker.http("assistant") as client:
        reply = client.post("/v1/chat/completions", json=body, headers=bearer(spoilt.broker, "assistant"))
    assert (reply.status_code, reply.text.rstrip().endswith("data: [DONE]")) == (200, True)
    assert spoilt.keys_asked() == ["lpha", "beta"]


def test_the_body_arrives_whole_at_the_second_key_as_at_the_first(spoilt: Pooled) -> None:
    spoilt.trouble("alpha", "401")
    assert spoilt.chat("the same bytes, twice").status_code == 200
    first, second = spoilt.asked()
    assert (first["body_sha256"], first["path"]) == (second["body_sha256"], second["path"])
    names = ("x-client-request-id", "content-type")
    assert [first["headers"][name] for name in names] == [second["headers"][name] for name in names]


def test_data_that_must_stay_in_europe_goes_to_the_european_host(tmp_path: Path) -> None:
    """OpenAI keeps data in a region only where its regional host is called."""
    european = tmp_path / "european.keys"
    european.write_text(key_of("euro"))
    with simulator_process(european) as eu, pooled(tmp_path / "d", eu=f"{eu}/v1") as pool:
        for _ in range(3):
            assert pool.chat(identity="explorer").status_code == 200
            assert pool.chat().status_code == 200
        assert [entry["key_last4"] for entry in received(eu)["entries"]] == ["euro"] * 3
        assert "euro" not in pool.keys_asked()
        assert len(pool.asked()) == 3
