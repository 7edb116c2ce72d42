"""Secrets in replies, wherever a caller could read them: cut or refused, on both listeners, and in no
record.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import httpx
import pytest
from openai import APIError

from broker.gen.broker.v1 import openai_pb2_grpc
from tests.demo.steps import sdk
from tests.e2e.raw import bearer, channel, refusal
from tests.e2e.records import outcome
from tests.e2e.staged import Staged
from tests.e2e.test_streams import hear, rpc_request
from tests.e2e.upstreams import DONE, Exchange, chat_event

SECRET = "AKIAIOSFODNN7EXAMPLE"  # AWS's own documentation example
FIRST, SECOND = SECRET[:11], SECRET[11:]
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say."}]}


def chunk(delta: object, **members: object) -> bytes:
    """A chat chunk with this delta."""
    said = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "created": 1, **members}
    said["choices"] = [{"index": 0, "delta": delta, "finish_reason": None}]
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def events(*said: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.events(*said)


def in_call(where: str) -> tuple[bytes, bytes]:
    """The secret in two pieces in a tool call, at a member of it."""

    def call(text: str) -> bytes:
        kind, _, name = where.partition(".")
        inner: dict[str, object] = {kind: {name: text}} if name else {kind: text}
        return chunk({"tool_calls": [{"index": 0, **inner}]})

    return call(FIRST), call(SECOND)


CHANNELS: dict[str, tuple[bytes, ...]] = {
    "function_call.arguments": tuple(chunk({"function_call": {"arguments": t}}) for t in (FIRST, SECOND)),
    "function_call.name": tuple(chunk({"function_call": {"name": text}}) for text in (FIRST, SECOND)),
    "custom.input": in_call("custom.input"),
    "custom.name": in_call("custom.name"),
    "function.name": in_call("function.name"),
    "tool call id": in_call("id"),
    "audio.transcript": tuple(chunk({"audio": {"transcript": text}}) for text in (FIRST, SECOND)),
    "a field of tomorrow": tuple(chunk({"thoughts": [{"deep": text}]}) for text in (FIRST, SECOND)),
    "beside choices": tuple(chunk({}, note=text) for text in (FIRST, SECOND)),
    "a key": (chunk({SECRET: 1}),),
    "a number": (chunk({"content": "x"}), chunk({SECRET.lower(): SECRET})),
    "escapes in arguments": tuple(
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
        for text in ('{"a": "AKIA\\u00', '49OSFODNN7EXAMPLE"}')
    ),
    "model": (chunk({}, model=SECRET),),
    "finish_reason": (chunk({}, system_fingerprint=SECRET),),
}
LINES: dict[str, tuple[bytes, ...]] = {
    "comment": (b": %b\n\n" % SECRET.encode(),),
    "comment beside data": (b": %b\n" % SECRET.encode() + chat_event("x"),),
    "event name": (b"event: %b\n" % SECRET.encode() + chat_event("x"),),
    "event id": (b"id: %b\n" % SECRET.encode() + chat_event("x"),),
    "retry": (b"retry: %b\n" % SECRET.encode() + chat_event("x"),),
    "unknown field": (b"note: %b\n" % SECRET.encode() + chat_event("x"),),
    "name of an unknown field": (b"%b: x\n" % SECRET.encode() + chat_event("x"),),
    "no colon": (b"%b\n" % SECRET.encode() + chat_event("x"),),
    "byte order mark": (b"\xef\xbb\xbf" + chat_event(SECRET),),
    "later byte order mark": (chat_event("x"), b"\xef\xbb\xbf" + chat_event(SECRET)),
    "two data lines": (chat_event("x").rstrip() + b"\ndata: %b\n\n" % SECRET.encode(),),
    "the second of two equal keys": (
        b'data: {"choices":[{"index":0,"delta":{"content":"%b","content":"x"}}]}\n\n' % SECRET.encode(),
    ),
}


@pytest.mark.parametrize("name", [*CHANNELS, *LINES])
def test_secret_in_a_channel_nobody_listed_is_cut(staged: Staged, name: str) -> None:
    said = CHANNELS.get(name) or LINES[name]
    staged.upstream.answer(events(chat_event("so: "), *said, DONE))
    heard = hear(staged.broker)
    assert SECRET[:4] not in heard.text
    assert "[DONE]" not in heard.text
    assert heard.events[-1].startswith("event: error\n")
    record = outcome(staged.broker.log, heard.call_id)
    assert record.error in {"CONTENT_BLOCKED", "UPSTREAM_INTERRUPTED"}
    assert SECRET not in str(record)


@pytest.mark.parametrize("name", CHANNELS)
def test_secret_in_a_channel_nobody_listed_is_cut_over_grpc(staged: Staged, name: str) -> None:
    staged.upstream.answer(events(chat_event("so: "), *CHANNELS[name], DONE))
    metadata = tuple(bearer(staged.broker, "explorer").items())
    heard = b""
    with channel(staged.broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        messages = stub.StreamChatCompletion(rpc_request("words:1"), metadata=metadata, timeout=30)
        with suppress(grpc.RpcError):
            for message in messages:
                heard += message.SerializeToString()
    assert messages.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert SECRET[:4].encode() not in heard


def test_nothing_is_passed_on_after_the_terminal_event(staged: Staged) -> None:
    staged.upstream.answer(events(chat_event("so"), DONE, chat_event(SECRET), b": more\n\n"))
    heard = hear(staged.broker)
    assert heard.events == [chat_event("so").decode(), DONE.decode()]
    assert outcome(staged.broker.log, heard.call_id).error is None


def post(staged: Staged, **fields: Any) -> httpx.Response:
    with staged.broker.http("explorer") as client:
        headers = bearer(staged.broker, "explorer")
        return client.post("/v1/chat/completions", json={**CHAT, **fields}, headers=headers)


WHOLE = {
    "the first of two equal keys": (200, b'{"choices":[],"x":"%b","x":""}'),
    "the second of two equal keys": (200, b'{"choices":[],"x":"","x":"%b"}'),
    "byte order mark": (200, b'\xef\xbb\xbf{"choices":[],"x":"%b"}'),
    "NaN": (200, b'{"choices":[],"x":"%b","y":NaN}'),
    "an error's message": (400, b'{"error":{"message":"%b"}}'),
    "an error that is no JSON": (500, b"<html>%b</html>"),
    "an error with a key twice": (400, b'{"error":{"message":"%b","message":""}}'),
    "an array": (400, b'["%b"]'),
    "a key": (200, b'{"choices":[],"%b":1}'),
    "escaped": (200, b'{"choices":[{"message":{"tool_calls":[{"x":"\\\\u0041%b"}]}}]}'),
}


@pytest.mark.parametrize("name", WHOLE)
def test_secret_anywhere_in_a_whole_reply_is_refused(staged: Staged, name: str) -> None:
    status, body = WHOLE[name]
    secret = SECRET[1:] if name == "escaped" else SECRET
    staged.upstream.answer(lambda exchange: exchange.whole(status, body % secret.encode()))
    reply = post(staged)
    assert SECRET[1:] not in reply.text
    assert reply.json()["error"]["code"] in {"content_policy_violation", "upstream_unavailable"}
    assert SECRET not in str(outcome(staged.broker.log, reply.headers["x-broker-call-id"]))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/embeddings", "/v1/moderations"])
def test_secret_in_a_reply_that_generates_nothing_is_refused(staged: Staged, path: str) -> None:
    reply: dict[str, object] = {"object": "list", "data": [{"id": "gpt-4o", "owned_by": SECRET}]}
    staged.upstream.answer(lambda exchange: exchange.whole(200, json.dumps(reply).encode()))
    body = {"model": "text-embedding-3-small", "input": "x"} if "models" not in path else None
    with staged.broker.http("explorer") as client:
        headers = bearer(staged.broker, "explorer")
        heard = client.request("POST" if body else "GET", path, json=body, headers=headers)
    assert heard.json()["error"]["code"] == "content_policy_violation"
    assert SECRET not in heard.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["x_request_id", "openai_note", "x_ratelimit_note"])
def test_secret_in_a_header_that_is_passed_on_is_refused(staged: Staged, name: str, stream: bool) -> None:
    def script(exchange: Exchange) -> None:
        if stream:
            exchange.head(200, content_type="text/event-stream", **{name: SECRET})
            exchange.wfile.write(chat_event("so") + DONE)
        else:
            exchange.whole(200, b'{"choices":[]}', **{name: SECRET})

    staged.upstream.answer(script)
    reply = post(staged, stream=stream)
    assert reply.json()["error"]["code"] == "content_policy_violation"
    assert SECRET not in reply.text + str(reply.headers)
    assert SECRET not in str(outcome(staged.broker.log, reply.headers["x-broker-call-id"]))


@pytest.mark.parametrize(("version", "broken"), [("--http1.1", 18), ("--http1.0", 56)])
def test_a_cut_stream_ends_http_as_broken(staged: Staged, version: str, broken: int) -> None:
    """curl says 18, as it does of OpenAI itself; the error event has come by then. HTTP/1.0 has none: its
    connection is reset, and curl says 56.
    """
    staged.upstream.answer(events(chat_event("one ")))
    who = staged.broker.identities["explorer"]
    command = ["curl", "-sS", "-N", version, "--cacert", str(staged.broker.ca), "--cert", str(who.cert)]
    command += [
        "--key",
        str(who.key),
        "-H",
        f"authorization: {bearer(staged.broker, 'explorer')['authorization']}",
    ]
    command += ["-H", "content-type: application/json", "-d", json.dumps({**CHAT, "stream": True})]
    said = subprocess.run(
        [*command, f"{staged.broker.https}/v1/chat/completions"], capture_output=True, check=False, timeout=30
    )
    assert said.returncode == broken
    assert said.stdout.startswith(chat_event("one "))
    assert said.stdout.count(b"event: error\n") == 1
    assert said.stdout.endswith(b"}\n\n")
    staged.upstream.answer(events(chat_event("one "), DONE))
    whole = subprocess.run(
        [*command, f"{staged.broker.https}/v1/chat/completions"], capture_output=True, check=False, timeout=30
    )
    assert (whole.returncode, whole.stdout) == (0, chat_event("one ") + DONE)


@pytest.mark.parametrize(("sent", "safe"), [((), "true"), ((chat_event("one "),), "false")])
def test_the_remedy_of_a_broken_stream_agrees_with_retry_safe(
    staged: Staged, sent: tuple[bytes, ...], safe: str
) -> None:
    staged.upstream.answer(events(*sent, b'data: {"broken\n\n'))
    error = json.loads(hear(staged.broker).events[-1].partition("data: ")[2])["error"]
    assert error["details"]["retry_safe"] == safe
    assert ("Send the same request again" in error["message"]) is (safe == "true")
    assert error["details"]["bytes_delivered"] == str(sum(map(len, sent)))


ERROR = {"message": "Overloaded, come later.", "type": "server_error", "code": "overloaded", "param": None}
LIMITED = {"message": "Too many tokens.", "type": "tokens", "code": "rate_limit_exceeded", "param": None}


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (ERROR, "UPSTREAM_INTERRUPTED", grpc.StatusCode.UNAVAILABLE),
        (LIMITED, "UPSTREAM_RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_upstreams_error_within_a_stream_means_the_same_on_both_listeners(
    staged: Staged, error: dict[str, str], reason: str, code: grpc.StatusCode
) -> None:
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    staged.upstream.answer(events(chat_event("one "), event, chat_event("never"), DONE))
    heard = hear(staged.broker)
    assert heard.events[:2] == [chat_event("one ").decode(), event.decode()]
    told = json.loads(heard.events[-1].partition("data: ")[2])["error"]
    assert told["message"].startswith(error["message"])
    assert (told["reason"], told["details"]["upstream_code"]) == (reason, error["code"])
    metadata = tuple(bearer(staged.broker, "explorer").items())
    with channel(staged.broker, "explorer") as opened:
        stub = openai_pb2_grpc.OpenAIServiceStub(opened)
        messages = stub.StreamChatCompletion(rpc_request("words:1"), metadata=metadata, timeout=30)
        with pytest.raises(grpc.RpcError) as caught:
            list(messages)
    refused = refusal(caught.value)
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.message == told["message"]
    with pytest.raises(APIError, match=error["message"]), _sdk_stream(staged) as stream:
        list(stream)


def _sdk_stream(staged: Staged) -> Any:
    message: Any = CHAT["messages"]
    return sdk(staged.broker, "explorer").chat.completions.create(
        model="gpt-4o", messages=message, stream=True
    )


def test_upstreams_error_about_the_key_is_not_repeated(staged: Staged) -> None:
    error = {"message": "Incorrect API key: sk-...abcd", "type": "x", "code": "invalid_api_key"}
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    staged.upstream.answer(events(chat_event("one "), event))
    heard = hear(staged.broker)
    assert "abcd" not in heard.text
    assert '"reason":"CREDENTIAL_STORE_UNAVAILABLE"' in heard.events[-1]
