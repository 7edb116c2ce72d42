"""Callers do not reach each other's stored content: over HTTPS and gRPC, in body, path and query."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest

from broker.gen.broker.v1 import openai_pb2 as pb
from broker.gen.broker.v1 import openai_pb2_grpc
from broker.model.operation import Operation
from tests.e2e.raw import bearer, channel, nothing_reaches_upstream, records, refusal
from tests.e2e.staged import Staged
from tests.e2e.test_operations import sdk, user
from tests.e2e.upstreams import Exchange, simulator_process
from tests.objects.generated import FOREIGN, planted
from tests.policy.engines import POLICIES
from tests.running import RunningBroker, start_broker


@pytest.fixture(scope="module")
def explorer(broker: RunningBroker) -> Iterator[openai.OpenAI]:
    with sdk(broker, "explorer") as client:
        yield client


@pytest.fixture(scope="module")
def theirs(explorer: openai.OpenAI) -> Any:
    """A response that the explorer has stored."""
    return explorer.responses.create(model="gpt-4o", input="the explorer's secret plan")


def ask(
    broker: RunningBroker, identity: str, body: dict[str, Any], path: str = "/v1/responses"
) -> httpx.Response:
    with broker.http(identity) as client:
        return client.post(path, json=body, headers=bearer(broker, identity))


def get(broker: RunningBroker, identity: str, path: str) -> httpx.Response:
    with broker.http(identity) as client:
        return client.get(path, headers=bearer(broker, identity))


def naming(response_id: str, item_id: str) -> dict[str, dict[str, Any]]:
    """Bodies that name a response, or an item of it."""
    common = {"model": "gpt-4o", "input": "what was said before?"}
    return {
        "previous_response_id": {**common, "previous_response_id": response_id},
        "an item_reference": {"model": "gpt-4o", "input": [{"type": "item_reference", "id": item_id}]},
        "an item without a type": {"model": "gpt-4o", "input": [{"id": item_id}]},
        "conversation": {**common, "conversation": response_id},
        "conversation as an object": {**common, "conversation": {"id": response_id}},
        "a file": {
            "model": "gpt-4o",
            "input": [{"role": "user", "content": [{"type": "input_file", "file_id": item_id}]}],
        },
        "a stored prompt": {"model": "gpt-4o", "prompt": {"id": response_id}},
        "a comparison": {**common, "prompt_cache_options": {"comparison_response_id": response_id}},
    }


PLACES = list(naming("", ""))


@pytest.mark.parametrize("place", PLACES)
def test_an_object_of_another_subject_is_answered_as_an_unknown_one(
    broker: RunningBroker, theirs: Any, place: str
) -> None:
    with nothing_reaches_upstream(broker):
        foreign = ask(broker, "assistant", naming(theirs.id, theirs.output[0].id)[place])
        unknown = ask(broker, "assistant", naming("resp_" + "0" * 48, "msg_" + "0" * 48)[place])
    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
    assert theirs.id not in foreign.text
    assert foreign.json()["error"]["reason"] == "NOT_FOUND"
    assert {name for name in foreign.headers if name != "date"} == set(unknown.headers) - {"date"}
    (denied,) = records(broker, foreign.headers["x-broker-call-id"])
    assert (denied["type"], denied["reason"]) == ("denied", "NOT_FOUND")
    assert theirs.id not in json.dumps(denied)


@pytest.mark.parametrize("place", ["previous_response_id", "an item_reference"])
def test_ones_own_object_goes_on(broker: RunningBroker, theirs: Any, place: str) -> None:
    reply = ask(broker, "explorer", naming(theirs.id, theirs.output[0].id)[place])
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    "place", ["previous_response_id", "an item_reference", "conversation", "a file", "a stored prompt"]
)
def test_grpc_refuses_the_same(broker: RunningBroker, theirs: Any, place: str) -> None:
    body = naming(theirs.id, theirs.output[0].id)[place]
    request = pb.CreateResponseRequest(model="gpt-4o")
    for name, value in body.items():
        if name != "model":
            request.extra_json[name] = json.dumps(value)
    with channel(broker, "assistant") as opened, nothing_reaches_upstream(broker):
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        metadata = tuple(bearer(broker, "assistant").items())
        with pytest.raises(grpc.RpcError) as unary:
            stub.CreateResponse(request, metadata=metadata, timeout=20)
        with pytest.raises(grpc.RpcError) as streamed:
            list(
                stub.StreamResponse(pb.StreamResponseRequest(request=request), metadata=metadata, timeout=20)
            )
    for caught in (unary, streamed):
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert refusal(caught.value).reason == "NOT_FOUND"


def test_a_typed_field_of_grpc_is_the_same_reference(broker: RunningBroker, theirs: Any) -> None:
    request = pb.CreateResponseRequest(model="gpt-4o", previous_response_id=theirs.id)
    request.input.text = "and then?"
    for identity, code in (("assistant", grpc.StatusCode.NOT_FOUND), ("explorer", None)):
        with channel(broker, identity) as opened:
            call = openai_pb2_grpc.OpenAIServiceStub(opened).CreateResponse.future(
                request, metadata=tuple(bearer(broker, identity).items()), timeout=20
            )
            error: Any = call.exception()
        assert (error.code() if error else None) is code


@pytest.mark.parametrize(
    "path", ["/v1/responses/{}", "/v1/responses/{}/input_items", "/v1/chat/completions/{}"]
)
def test_a_path_names_an_object_too(broker: RunningBroker, path: str) -> None:
    with nothing_reaches_upstream(broker):
        assert get(broker, "explorer", path.format("resp_never_made")).status_code == 404


def test_a_cursor_names_an_object_too(broker: RunningBroker) -> None:
    with nothing_reaches_upstream(broker):
        reply = get(broker, "explorer", "/v1/chat/completions?after=chatcmpl-never-made")
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "?after")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker at which the assistant may do all that the explorer may."""
    folder = tmp_path_factory.mktemp("pair")
    policies = Path(
        shutil.copytree(POLICIES, folder / "policies", ignore=shutil.ignore_patterns("*_test.rego"))
    )
    data = json.loads((policies / "data.json").read_text())
    data["roles"]["assistant"] = data["roles"]["explorer"]
    (policies / "data.json").write_text(json.dumps(data))
    running = start_broker(folder / "b", "--policies", str(policies))
    yield running
    running.stop()


def test_a_listing_shows_ones_own_chats_only(pair: RunningBroker) -> None:
    with sdk(pair, "explorer") as explorer, sdk(pair, "assistant") as assistant:
        mine: list[str] = []
        others: list[str] = []
        for number in range(4):
            for client, made in ((explorer, mine), (assistant, others), (assistant, others)):
                text = f"{number} of {len(made)} for {id(made)}"
                made.append(
                    client.chat.completions.create(model="gpt-4o", messages=user(text), store=True).id
                )
        assert [chat.id for chat in explorer.chat.completions.list(limit=2)] == mine  # page by page
        assert [chat.id for chat in assistant.chat.completions.list(limit=3)] == others
        page = explorer.chat.completions.list(limit=2)
        assert page.has_more
        assert not set(others) & set(json.dumps(page.model_dump(mode="json")).replace('"', " ").split())
        for made, client in ((others, explorer), (mine, assistant)):
            for call in (client.chat.completions.retrieve, client.chat.completions.delete):
                with pytest.raises(openai.NotFoundError):
                    call(made[0])
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.update(made[0], metadata={"a": "b"})
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.messages.list(made[0])


def test_an_owner_outlives_the_broker_and_its_crash(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-upstream-0123456789")
    with simulator_process(key) as url:
        first = start_broker(tmp_path / "b", "--upstream", f"{url}/v1", "--upstream-key-file", str(key))
        with sdk(first, "explorer") as client:
            made = client.responses.create(model="gpt-4o", input="before the crash")
            stream: Any = client.responses.create(
                model="gpt-4o", input="slowly", stream=True, extra_headers={"x-sim-fault": "slow-stream:300"}
            )
            begun = next(iter(stream)).response.id  # the id came, the rest did not
            first.kill_all()
        second = start_broker(tmp_path / "b", "--upstream", f"{url}/v1", "--upstream-key-file", str(key))
        try:
            with sdk(second, "explorer") as client:
                assert client.responses.retrieve(made.id).id == made.id
                assert client.responses.retrieve(begun).id == begun
            named = naming(begun, begun)["previous_response_id"]
            assert ask(second, "assistant", named).status_code == 404
        finally:
            second.stop()


def test_the_record_names_the_object_and_its_owner(broker: RunningBroker) -> None:
    made = ask(broker, "explorer", {"model": "gpt-4o", "input": "who owns this?"})
    outcome = records(broker, made.headers["x-broker-call-id"])[-1]
    assert outcome["object_id"] == made.json()["id"]
    assert outcome["object_owner"] == broker.identities["explorer"].spiffe_id
    read = get(broker, "explorer", f"/v1/responses/{made.json()['id']}")
    assert [each["object_id"] for each in records(broker, read.headers["x-broker-call-id"])] == [
        made.json()["id"]
    ] * 2


def test_what_is_deleted_is_nobodys(broker: RunningBroker, explorer: openai.OpenAI) -> None:
    made = explorer.responses.create(model="gpt-4o", input="forget me soon")
    explorer.responses.delete(made.id)
    with nothing_reaches_upstream(broker):
        for body in naming(made.id, made.output[0].id or "").values():
            assert ask(broker, "explorer", body).status_code == 404


def test_a_streamed_chat_has_an_owner_from_its_first_chunk(
    broker: RunningBroker, explorer: openai.OpenAI
) -> None:
    chunks = explorer.chat.completions.create(
        model="gpt-4o", messages=user("stream it"), store=True, stream=True
    )
    first = next(iter(chunks))
    chunks.close()
    assert explorer.chat.completions.retrieve(first.id).id == first.id


# --- every field of the SDK's types, over a real listener

RESPONSES = list(planted(Operation.RESPONSES)) + list(planted(Operation.CHAT))


def _made(exchange: Exchange) -> None:
    """A response that is called FOREIGN."""
    exchange.whole(200, json.dumps({"id": FOREIGN, "object": "response", "output": []}).encode())


@pytest.mark.parametrize("caller", ["assistant", "explorer"])
def test_no_field_brings_anothers_id_to_upstream(staged: Staged, caller: str) -> None:
    """404, refused by policy, or sent without it; labels within the body are no ids of objects."""
    maker = "explorer" if caller == "assistant" else None
    staged.upstream.answer(_made)
    if maker is not None:
        assert ask(staged.broker, maker, {"model": "gpt-4o", "input": "make it"}).status_code == 200
    own = maker is None  # the explorer made it in the first round: then its own goes on
    seen: dict[int, int] = {}
    with staged.broker.http(caller) as client:
        for place, body in RESPONSES:
            if place.endswith(
                (".call_id", ".caller_id", "tool_call_id", "_checks[].id", "function>.id", "custom>.id")
            ):
                continue
            chat = place.startswith("messages")
            path = "/v1/chat/completions" if chat else "/v1/responses"
            beside = {"model": "gpt-4o", "messages": user("x")} if chat else {"model": "gpt-4o", "input": "x"}
            staged.upstream.bodies.clear()
            reply = client.post(
                path, json={**beside, **body, "model": "gpt-4o"}, headers=bearer(staged.broker, caller)
            )
            seen[reply.status_code] = seen.get(reply.status_code, 0) + 1
            assert reply.status_code in (200, 403, 404), f"{place}: {reply.text}"
            if reply.status_code != 200:
                assert not staged.upstream.bodies, place
            elif not own:
                assert FOREIGN.encode() not in staged.upstream.bodies[0], place
    assert seen[404 if not own else 200] > 10
