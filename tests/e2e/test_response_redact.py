"""`response.redact` end to end: what is left of a reply on both listeners, and what is recorded of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from broker.gen.broker.v1 import openai_pb2 as pb
from broker.gen.broker.v1 import openai_pb2_grpc
from tests.e2e.raw import bearer, channel, records
from tests.e2e.records import outcome
from tests.e2e.staged import Staged
from tests.e2e.test_reply_channels import CHAT, chunk
from tests.e2e.test_rpc_operations import chat, text_input
from tests.e2e.test_streams import Heard, hear, rpc_request
from tests.e2e.upstreams import DONE, Exchange, chat_event, scripted_upstream
from tests.running import start_broker

POLICIES = Path(__file__).parents[2] / "policies"
IBAN, EMAIL, CARD, KEY = "DE89370400440532013000", "ann@example.org", 4111111111111111, "AKIAIOSFODNN7EXAMPLE"
RESPONSE = {"cut": ["secret.*", "pii.us_ssn"], "redact": ["pii.*", "secret.*"]}
SSN = "the ssn is 536-90-4399"


def mark(rule: str) -> str:
    return f"[REDACTED:pii.{rule}]"


@pytest.fixture(scope="module")
def redacting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """A broker whose policies take personal data out of replies, and cut what is secret."""
    folder = tmp_path_factory.mktemp("redacting")
    policies = folder / "policies"
    shutil.copytree(POLICIES, policies, ignore=shutil.ignore_patterns("demonstration_data_test.rego"))
    data = json.loads((policies / "data.json").read_text())
    (policies / "data.json").write_text(json.dumps({**data, "response": RESPONSE}))
    with scripted_upstream() as upstream:
        running = start_broker(folder / "b", "--upstream", upstream.url, "--policies", str(policies))
        try:
            yield Staged(running, upstream)
        finally:
            running.stop()


def tell(staged: Staged, body: object, status: int = 200, **headers: str) -> None:
    """Upstream answers with this document, or these bytes."""
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    staged.upstream.answer(lambda exchange: exchange.whole(status, said, **headers))


def ask(staged: Staged, path: str = "chat/completions", body: object = CHAT) -> httpx.Response:
    with staged.broker.http("explorer") as client:
        headers = bearer(staged.broker, "explorer")
        return client.request("POST" if body else "GET", f"/v1/{path}", json=body, headers=headers)


def message(content: object, **members: object) -> dict[str, Any]:
    """A chat's whole reply."""
    said = {"role": "assistant", "content": content, **members}
    choice = {"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    frame = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o"}
    return {**frame, "choices": [choice], "usage": usage}


def found(staged: Staged, reply: httpx.Response) -> list[tuple[str, str]]:
    """Rule and action of all that the outcome tells of the reply, which it repeats nowhere."""
    call_id = reply.headers["x-broker-call-id"]
    record = outcome(staged.broker.log, call_id)
    written = str(records(staged.broker, call_id))
    assert not any(text in written for text in (IBAN, EMAIL, str(CARD), KEY))
    return [(one.rule, one.action) for one in record.findings or ()]


def item(content: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": content, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def response(content: str) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-4o",
        "status": "completed",
        "output": [item(content)],
    }


def text_completion(content: str) -> dict[str, Any]:
    choice = {"text": content, "index": 0, "finish_reason": "stop", "logprobs": None}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": "gpt-4o-mini",
        "choices": [choice],
    }


EDIT = {"model": "text-davinci-edit-001", "input": "x", "instruction": "y"}
OPERATIONS: dict[str, tuple[str, object, Any]] = {
    "chat": ("chat/completions", CHAT, message),
    "completions": ("completions", {"model": "gpt-4o-mini", "prompt": "x"}, text_completion),
    "responses": ("responses", {"model": "gpt-4o", "input": "x"}, response),
    "edits": ("edits", EDIT, message),
    "embeddings": (
        "embeddings",
        {"model": "text-embedding-3-small", "input": "x"},
        lambda said: {"object": "list", "data": [], "note": said},
    ),
    "moderations": ("moderations", {"input": "x"}, lambda said: {"id": "modr", "results": [], "note": said}),
    "models": (
        "models",
        None,
        lambda said: {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "owned_by": said}]},
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_response_redact_takes_the_match_out_of_a_whole_reply(redacting: Staged, name: str) -> None:
    path, body, shape = OPERATIONS[name]
    tell(redacting, shape(f"pay to {IBAN} now"))
    reply = ask(redacting, path, body)
    assert reply.status_code == 200, reply.text
    assert f"pay to {mark('iban')} now" in reply.text
    assert IBAN not in reply.text
    if name not in {"edits", "models"}:
        assert reply.json() == shape(f"pay to {mark('iban')} now")
    assert reply.headers["content-length"] == str(len(reply.content))
    assert found(redacting, reply) == [("pii.iban", "redact")]
    record = outcome(redacting.broker.log, reply.headers["x-broker-call-id"])
    assert (record.error, record.bytes) == (None, len(reply.content))
    assert record.model_served == reply.json().get("model", record.model_served)


def test_response_redact_takes_the_match_out_of_what_is_read_back(redacting: Staged) -> None:
    tell(redacting, response("kept"))
    stored = ask(redacting, "responses", {"model": "gpt-4o", "input": "x", "store": True})
    assert stored.status_code == 200, stored.text
    tell(redacting, response(f"write to {EMAIL}"))
    read = ask(redacting, "responses/resp_1", None)
    assert read.json() == response(f"write to {mark('email')}")
    assert found(redacting, read) == [("pii.email", "redact")]
    tell(redacting, {"object": "list", "data": [item(EMAIL)], "has_more": False})
    items = ask(redacting, "responses/resp_1/input_items", None)
    assert items.json()["data"] == [item(mark("email"))]


def test_response_redact_takes_out_a_match_over_two_parts(redacting: Staged) -> None:
    def message(*said: str) -> dict[str, Any]:
        content = [{"type": "output_text", "text": each, "annotations": []} for each in said]
        return {"object": "response", "id": "resp_1", "output": [{"type": "message", "content": content}]}

    tell(redacting, message(f"pay to {IBAN[:9]}", f"{IBAN[9:]} now"))
    reply = ask(redacting, "responses", {"model": "gpt-4o", "input": "x"})
    assert reply.status_code == 200, reply.text
    assert reply.json() == message(f"pay to {mark('iban')}", f"{mark('iban')} now")


def test_response_redact_keeps_tool_arguments_json(redacting: Staged) -> None:
    arguments = json.dumps({"to": f"{IBAN}\n", "card": CARD, "n": 1})
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": arguments}}
    tell(redacting, message(None, tool_calls=[call]))
    reply = ask(redacting)
    said = reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(said) == {"to": f"{mark('iban')}\n", "card": 0, "n": 1}


def test_response_redact_takes_out_several_findings_and_keeps_types(redacting: Staged) -> None:
    tell(
        redacting, {**message(f"{EMAIL}, {IBAN}; {EMAIL}"), "card": CARD, "meta": {IBAN: [EMAIL, 1.5, True]}}
    )
    reply = ask(redacting)
    wanted = message(f"{mark('email')}, {mark('iban')}; {mark('email')}")
    assert reply.json() == {**wanted, "card": 0, "meta": {mark("iban"): [mark("email"), 1.5, True]}}
    assert len(found(redacting, reply)) == 6


def test_response_redact_takes_log_probabilities_out_with_the_text_that_they_spell(redacting: Staged) -> None:
    tokens = [
        {"token": t, "logprob": -1.0, "bytes": list(t.encode()), "top_logprobs": []}
        for t in ("ann@ex", "ample.org")
    ]
    said = message(EMAIL)
    said["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    tell(redacting, said)
    assert ask(redacting).json() == message(mark("email"))


@pytest.mark.parametrize(
    "body",
    [
        b'{ "choices" : [],"f":1.0e2, "big":123456789012345678901234567890, "u":"\\u00e9" }',
        b'{"choices":[{"index":0,"message":{"content":"nothing to see"}}]}\n',
    ],
)
def test_response_redact_leaves_a_reply_with_nothing_to_redact_byte_for_byte(
    redacting: Staged, body: bytes
) -> None:
    tell(redacting, body)
    reply = ask(redacting)
    assert reply.content == body
    assert found(redacting, reply) == []


def test_response_redact_takes_the_match_out_of_a_large_reply(redacting: Staged) -> None:
    words = "one word more " * 100_000
    tell(redacting, message(f"{words}{EMAIL} {words}"))
    reply = ask(redacting)
    assert reply.json() == message(f"{words}{mark('email')} {words}")
    assert found(redacting, reply) == [("pii.email", "redact")]


def test_response_redact_keeps_numbers_as_they_are(redacting: Staged) -> None:
    numbers = b'"big":123456789012345678901234567890123456789012,"x":9007199254740993,"f":1.0,"e":-0.5'
    tell(redacting, b'{"choices":[],"note":"%b",%b}' % (EMAIL.encode(), numbers))
    assert ask(redacting).content == b'{"choices":[],"note":"%b",%b}' % (mark("email").encode(), numbers)


def test_response_redact_leaves_opaque_places(redacting: Staged) -> None:
    png = "iVBORw0KGgoAAAAN+Be36q7Rt2ZkLw9XdYc4/AAAASUVORK5CYII="
    said = {**response(EMAIL), "note": f"data:image/png;base64,{png}"}
    tell(redacting, said)
    reply = ask(redacting, "responses", {"model": "gpt-4o", "input": "x"})
    assert reply.json() == {**response(mark("email")), "note": f"data:image/png;base64,{png}"}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (json.dumps({"error": {"message": f"no {EMAIL}"}}).encode(), mark("email")),
        (b"<html>%b</html>" % EMAIL.encode(), mark("email")),
        (json.dumps([EMAIL]).encode(), mark("email")),
    ],
)
def test_response_redact_takes_the_match_out_of_an_error(redacting: Staged, body: bytes, wanted: str) -> None:
    tell(redacting, body, 400)
    reply = ask(redacting)
    assert reply.status_code == 400
    assert wanted in reply.text
    assert EMAIL not in reply.text


def test_response_redact_and_cut_of_the_same_rule_cuts(redacting: Staged) -> None:
    for text, rule in ((f"{EMAIL} {KEY}", "secret.aws"), (f"{EMAIL} {SSN}", "pii.us_ssn")):
        tell(redacting, message(text))
        reply = ask(redacting)
        assert reply.json()["error"]["code"] == "content_policy_violation"
        [(said, action)] = found(redacting, reply)
        assert said.startswith(rule)
        assert action == "block"
        assert reply.json()["error"]["rule"] == said


@pytest.mark.parametrize("stream", [False, True])
def test_response_redact_drops_a_header_with_a_match(redacting: Staged, stream: bool) -> None:
    def script(exchange: Exchange) -> None:
        if stream:
            exchange.head(
                200, content_type="text/event-stream", openai_note=EMAIL, x_request_id=EMAIL, openai_kept="1"
            )
            exchange.wfile.write(chat_event("so") + DONE)
        else:
            exchange.whole(200, b'{"choices":[]}', openai_note=EMAIL, x_request_id=EMAIL, openai_kept="1")

    redacting.upstream.answer(script)
    reply = ask(redacting, body={**CHAT, "stream": stream})
    assert reply.status_code == 200
    assert EMAIL not in str(reply.headers)
    assert reply.headers["openai-kept"] == "1"
    assert found(redacting, reply) == [("pii.email", "redact")] * 2


@pytest.mark.parametrize("member", ["model", "finish_reason"])
def test_response_redact_records_no_name_that_holds_a_match(redacting: Staged, member: str) -> None:
    said = message("x")
    (said if member == "model" else said["choices"][0])[member] = EMAIL
    tell(redacting, said)
    reply = ask(redacting)
    assert EMAIL not in reply.text
    assert found(redacting, reply) == [("pii.email", "redact")]


def test_response_redact_is_over_grpc_what_it_is_over_https(redacting: Staged) -> None:
    metadata = tuple(bearer(redacting.broker, "explorer").items())
    with channel(redacting.broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        arguments = json.dumps({"to": IBAN})
        call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": arguments}}
        tell(redacting, message(f"to {EMAIL}", tool_calls=[call]))
        reply = stub.CreateChatCompletion(chat(), metadata=metadata, timeout=20)
        assert reply.choices[0].message.content.text == f"to {mark('email')}"
        assert json.loads(reply.choices[0].message.tool_calls[0].function.arguments) == {"to": mark("iban")}
        tell(redacting, text_completion(EMAIL))
        asked = pb.CreateCompletionRequest(model="gpt-4o-mini", prompt=text_input("x"))
        done = stub.CreateCompletion(asked, metadata=metadata, timeout=20)
        assert done.choices[0].text == mark("email")


def told(heard: Heard) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(heard.events[-1].partition("data: ")[2])["error"]
    return error


STREAMS = {
    "in one event": (chat_event(f"to {EMAIL} "),),
    "over three events": tuple(map(chat_event, ("to ann@exa", "mple", ".org and more"))),
    "letter by letter": tuple(map(chat_event, f"to {EMAIL} and")),
    "at the very end": tuple(map(chat_event, ("to ", EMAIL))),
    "in arguments": tuple(
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
        for text in ('{"a":"DE8937', f'{IBAN[6:]}"}}')
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_response_redact_cuts_a_stream_before_the_match(redacting: Staged, name: str) -> None:
    redacting.upstream.answer(lambda exchange: exchange.events(chat_event("so: "), *STREAMS[name], DONE))
    heard = hear(redacting.broker)
    assert heard.events[0] == chat_event("so: ").decode()
    assert "ann" not in heard.text
    assert "DE89" not in heard.text
    assert "[DONE]" not in heard.text
    error = told(heard)
    assert error["code"] == "content_policy_violation"
    assert "without `stream`" in error["message"]
    record = outcome(redacting.broker.log, heard.call_id)
    assert record.error == "CONTENT_BLOCKED"
    [finding] = record.findings or ()
    assert (finding.rule, finding.action) == (error["rule"], "block")
    assert finding.location == error["param"]


def test_response_redact_leaves_a_stream_with_nothing_to_redact_byte_for_byte(redacting: Staged) -> None:
    said = [*map(chat_event, ("so ", "it ", "is at 5 o'clock. ")), DONE]
    redacting.upstream.answer(lambda exchange: exchange.events(*said))
    heard = hear(redacting.broker)
    assert heard.text == b"".join(said).decode()
    assert outcome(redacting.broker.log, heard.call_id).findings is None


def test_response_redact_cuts_a_stream_over_grpc_before_the_match(redacting: Staged) -> None:
    redacting.upstream.answer(
        lambda exchange: exchange.events(chat_event("so "), *STREAMS["over three events"], DONE)
    )
    heard = b""
    with channel(redacting.broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        metadata = tuple(bearer(redacting.broker, "explorer").items())
        messages = stub.StreamChatCompletion(rpc_request("words:1"), metadata=metadata, timeout=30)
        with suppress(grpc.RpcError):
            for each in messages:
                heard += each.SerializeToString()
    assert messages.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert b"ann@" not in heard


def test_a_cut_stream_records_the_rule_and_the_place(redacting: Staged) -> None:
    redacting.upstream.answer(lambda exchange: exchange.events(chat_event(f"a {KEY} b"), DONE))
    heard = hear(redacting.broker)
    [finding] = outcome(redacting.broker.log, heard.call_id).findings or ()
    assert finding.rule.startswith("secret.")
    assert finding.location == "choices[0].delta.content"
    assert "without `stream`" not in heard.text
