"""Bytes that nothing had to shape pass through both ways exactly as they came."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.raw import CANARY, bearer, records, say
from tests.e2e.staged import Staged
from tests.e2e.upstreams import DONE, Exchange, chat_event

CHAT = "/v1/chat/completions"
PLAIN = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'
LONG = PLAIN.replace(b"gpt-4o", b"gpt-9-preview")  # its context window is unknown
UNCOUNTED = PLAIN[:-1] + b', "stream": true}'
STREAMING = UNCOUNTED[:-1] + b', "stream_options": {"include_usage": true}}'
USAGE = (
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
)

BODIES: dict[str, tuple[str, bytes]] = {
    "odd spacing": (CHAT, b' \n{ "model" :"gpt-4o","messages":\t[ {"role":"user" , "content":"hi"} ]\r\n}  '),
    "large integers": (
        CHAT,
        PLAIN[:-1] + b', "seed": 123456789012345678901234567890, "x": 9007199254740993}',
    ),
    "numbers as written": (
        CHAT,
        PLAIN[:-1]
        + b', "temperature": 1.0, "top_p": 1E-1, "x": -0, "y": 1e400000}'.replace(b', "y": 1e400000', b""),
    ),
    "unknown fields": (CHAT, PLAIN[:-1] + b', "novel": {"deep": [null, {"er": true}]}, "": 1}'),
    "explicit zero": (CHAT, PLAIN[:-1] + b', "max_completion_tokens": 0}'),
    "explicit nulls": (CHAT, PLAIN[:-1] + b', "stop": null, "temperature": null, "tools": null}'),
    "escapes": (
        CHAT,
        rb'{"\u006dodel":"gpt-4o","messages":[{"role":"user","content":"\u00e9\ud83d\ude00\/\t\u0000"}]}',
    ),
    "characters": (
        CHAT,
        '{"model": "gpt-4o", "messages": [{"role": "user", "content": "é😀 \u2028"}]}'.encode(),
    ),
    "key order": (
        CHAT,
        b'{"z": 1, "messages": [{"content": "hi", "role": "user"}], "a": 2, "model": "gpt-4o"}',
    ),
    "a new model": (CHAT, PLAIN.replace(b"gpt-4o", b"gpt-9-preview")),
    "64 levels": (CHAT, PLAIN[:-1] + b', "x": ' + b"[" * 63 + b"]" * 63 + b"}"),
    "a megabyte": (CHAT, LONG.replace(b"hi", b"hello " * 175_000)),
    "300,000 tokens": (CHAT, LONG.replace(b"hi", "世".encode() * 300_000)),
    "embeddings of tokens": (
        "/v1/embeddings",
        b'{"input": [ 9906,1917 ], "model": "text-embedding-3-small"}',
    ),
    "completions": ("/v1/completions", b'{"prompt": ["a", ""], "model": "gpt-4o", "best_of":2 }'),
    "moderations": ("/v1/moderations", b'{"input": [{"type": "text", "text": "x"}] , "novel": 1}'),
    "responses": (
        "/v1/responses",
        b'{"input": "x", "model": "gpt-4o", "max_output_tokens": 0, "include": []}',
    ),
    "a stored chat": (f"{CHAT}/chatcmpl_1", b'{"metadata": { "a":"b" }}'),
}


def post(staged: Staged, body: bytes, path: str = CHAT, **headers: str) -> httpx.Response:
    """One call as the explorer with exactly this body."""
    with staged.broker.http("explorer") as client:
        sent = {"content-type": "application/json", **bearer(staged.broker, "explorer"), **headers}
        return client.post(path, content=body, headers=sent)


def whole(body: bytes, status: int = 200, **headers: str) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.whole(status, body, **headers)


def events(*parts: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.events(*parts)


def in_chunks(*parts: bytes) -> Callable[[Exchange], None]:
    """A chunked stream whose connection is lost before its last chunk."""

    def script(exchange: Exchange) -> None:
        exchange.head(200, content_type="text/event-stream", transfer_encoding="chunked")
        for part in parts:
            exchange.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            exchange.wfile.flush()

    return script


@pytest.fixture(scope="module", autouse=True)
def stored_chat(staged: Staged) -> None:
    """The chat whose body is sent below has been made by who sends it."""
    staged.upstream.answer(whole(b'{"id": "chatcmpl_1", "object": "chat.completion", "choices": []}'))
    assert post(staged, PLAIN[:-1] + b', "store": true}').status_code == 200


@pytest.mark.parametrize("name", BODIES)
def test_body_reaches_upstream_byte_for_byte(staged: Staged, name: str) -> None:
    path, body = BODIES[name]
    staged.upstream.answer(whole(b"{}"))
    assert post(staged, body, path).status_code == 200
    assert staged.upstream.bodies == [body]
    assert staged.upstream.paths == [path]


@pytest.mark.parametrize(
    "query",
    [
        "a=%2F&b=c+d&&e",
        "metadata[key]=x%20y&order=asc",
        "q=%C3%A9&q=%e2%82%ac",
        "x=1;y=2&z",
        "after=%00",
        "=",
        "a='\"b",
    ],
)
def test_query_string_reaches_upstream_as_it_came(staged: Staged, query: str) -> None:
    staged.upstream.answer(whole(b"{}"))
    token = staged.broker.token("explorer")
    head = f"GET {CHAT}?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
    assert say(staged.broker, "explorer", head.encode()).status == 200
    assert staged.upstream.paths == [f"{CHAT}?{query}"]


def test_post_keeps_its_query_string(staged: Staged) -> None:
    staged.upstream.answer(whole(b"{}"))
    assert post(staged, PLAIN, f"{CHAT}?api-version=2026%2D01").status_code == 200
    assert staged.upstream.paths == [f"{CHAT}?api-version=2026%2D01"]


def test_model_name_keeps_its_spelling_in_the_path(staged: Staged) -> None:
    staged.upstream.answer(whole(b"{}"))
    with staged.broker.http("explorer") as client:
        client.get("/v1/models/ft%3Agpt-4o%3Aorg::id", headers=bearer(staged.broker, "explorer"))
    assert staged.upstream.paths == ["/v1/models/ft%3Agpt-4o%3Aorg::id"]


def test_callers_own_headers_arrive_and_its_credentials_never(staged: Staged) -> None:
    staged.upstream.answer(whole(b"{}"))
    token = staged.broker.token("explorer")
    harmless = {
        "idempotency-key": "idem-1",
        "x-stainless-lang": "python",
        "x-stainless-retry-count": "0",
        "openai-beta": "assistants=v2",
        "x-client-request-id": "mine-1",
    }
    private = {
        "cookie": f"session={CANARY}",
        "proxy-authorization": f"Basic {CANARY}",
        "openai-organization": CANARY,
        "openai-project": CANARY,
        "x-forwarded-for": "10.1.2.3",
        "x-api-key": CANARY,
        "x-private": CANARY,
        "te": "trailers",
    }
    assert post(staged, PLAIN, **harmless, **private).status_code == 200
    ((*head,),) = staged.upstream.heads
    arrived = dict(head)
    assert len(arrived) == len(head), "a header arrived twice"
    assert {name: arrived.get(name) for name in harmless} == harmless
    assert arrived.keys().isdisjoint(private)
    assert arrived["authorization"].startswith("Bearer sk-dev-")
    assert arrived["content-length"] == str(len(PLAIN))
    assert arrived["host"] in staged.upstream.url
    assert token not in str(head)
    assert CANARY not in str(head)


def test_call_id_reaches_upstream_where_the_caller_named_none(staged: Staged) -> None:
    staged.upstream.answer(whole(b"{}"))
    reply = post(staged, PLAIN)
    assert dict(staged.upstream.heads[0])["x-client-request-id"] == reply.headers["x-broker-call-id"]


@pytest.mark.parametrize("status", [200, 400, 403, 404, 409, 422])
def test_reply_comes_back_byte_for_byte(staged: Staged, status: int) -> None:
    body = b'{ "novel" : 12345678901234567890123,\n"choices":[ ] , "error": {"code": "x", "e": 1.0}}\n'
    staged.upstream.answer(
        whole(body, status, x_request_id="req_1", openai_processing_ms="7", x_ratelimit_new="1")
    )
    reply = post(staged, PLAIN)
    assert (reply.status_code, reply.content) == (status, body)
    assert (reply.headers["x-request-id"], reply.headers["openai-processing-ms"]) == ("req_1", "7")
    assert reply.headers["x-ratelimit-new"] == "1"


def test_upstreams_private_headers_stay_there(staged: Staged) -> None:
    staged.upstream.answer(
        whole(b"{}", set_cookie="cf=1", server="x", alt_svc="h3", www_authenticate="Bearer", x_debug="1")
    )
    reply = post(staged, PLAIN)
    assert not {"set-cookie", "alt-svc", "www-authenticate", "x-debug", "server"} & set(reply.headers)


def test_stream_comes_back_byte_for_byte(staged: Staged) -> None:
    """Comments, unknown events, odd spacing, CRLF, several data lines, the usage chunk without choices."""
    stream = [
        b": a comment\n\n",
        b'event: novel\nid: 7\nretry: 10\ndata: {"anything": [1,  2]}\n\n',
        chat_event("one "),
        b"data:" + chat_event("two ")[6:],
        b'data: {"choices":\r\ndata:  []}\r\n\r\n',
        b"data: not json at all\n\n",
        chat_event("three."),
        USAGE,
        DONE,
    ]
    staged.upstream.answer(events(*stream))
    reply = post(staged, STREAMING)
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.content == b"".join(stream)
    outcome = records(staged.broker, reply.headers["x-broker-call-id"])[-1]
    assert (outcome["tokens_in"], outcome["tokens_out"], outcome["bytes"]) == (1, 2, len(reply.content))


def test_a_stream_that_did_not_ask_for_usage_comes_back_as_without_it(staged: Staged) -> None:
    """The broker asks upstream, records what it says, and keeps it from who did not ask."""
    asked = chat_event("one").replace(b"}\n\n", b',"usage":null}\n\n')
    staged.upstream.answer(events(asked, USAGE, DONE))
    reply = post(staged, UNCOUNTED)
    assert reply.content == chat_event("one") + DONE
    assert staged.upstream.bodies == [
        b'{"stream_options":{"include_usage":true},' + UNCOUNTED.removeprefix(b"{")
    ]
    outcome = records(staged.broker, reply.headers["x-broker-call-id"])[-1]
    assert (outcome["tokens_in"], outcome["tokens_out"], outcome["cost_exact"]) == (1, 2, True)
    assert outcome["bytes"] == len(reply.content)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_stream_comes_back_the_same_however_it_was_split(staged: Staged, size: int) -> None:
    stream = chat_event("é😀 one") + b": ping\n\n" + USAGE + DONE
    staged.upstream.answer(events(*(stream[at : at + size] for at in range(0, len(stream), size))))
    assert post(staged, STREAMING).content == stream


def test_response_events_come_back_without_a_forged_done(staged: Staged) -> None:
    names = ("response.created", "response.novel", "response.output_text.delta", "response.completed")
    stream = b"".join(
        b'event: %b\ndata: {"type":"%b","delta":"x","sequence_number":%d}\n\n'
        % (name.encode(), name.encode(), number)
        for number, name in enumerate(names)
    )
    staged.upstream.answer(events(stream))
    reply = post(staged, b'{"model": "gpt-4o", "input": "x", "stream": true}', "/v1/responses")
    assert reply.content == stream


CUTS = {
    "connection lost in an event": in_chunks(chat_event("one "), chat_event("two ")[:20]),
    "connection lost between events": in_chunks(chat_event("one ")),
    "ended properly without [DONE]": events(chat_event("one ")),
    "ended in an event": events(chat_event("one "), b"data: [DO"),
    "[DONE] in the text": events(chat_event("one "), chat_event("data: [DONE]")),
}


@pytest.mark.parametrize("name", CUTS)
def test_cut_stream_looks_cut(staged: Staged, name: str) -> None:
    """What came whole is passed on, then an error event, then the end: never a forged [DONE]."""
    staged.upstream.answer(CUTS[name])
    reply = post(staged, STREAMING)
    assert reply.status_code == 200
    assert reply.content.startswith(chat_event("one "))
    rest = reply.content.removeprefix(chat_event("one ")).removeprefix(chat_event("data: [DONE]"))
    assert rest.startswith(b"event: error\ndata: ")
    assert rest.count(b"\n\n") == 1
    error = json.loads(rest.removeprefix(b"event: error\ndata: "))["error"]
    assert (error["code"], error["reason"]) == ("upstream_interrupted", "UPSTREAM_INTERRUPTED")
    outcome = records(staged.broker, reply.headers["x-broker-call-id"])[-1]
    assert (outcome["type"], outcome["error"]) == ("outcome", "UPSTREAM_INTERRUPTED")


def _echoing(place: str) -> Callable[[Exchange], None]:
    """An upstream that gives away the very key it was sent."""

    def script(exchange: Exchange) -> None:
        key = exchange.headers["authorization"].removeprefix("Bearer ")
        leak = {
            "401": lambda: exchange.whole(
                401, b'{"error": {"message": "Incorrect API key: %b"}}' % key.encode()
            ),
            "400": lambda: exchange.whole(400, b'{"error": {"message": "Bad key: %b"}}' % key.encode()),
            "answer": lambda: exchange.whole(
                200, b'{"choices": [{"message": {"content": "%b"}}]}' % key.encode()
            ),
            "header": lambda: exchange.whole(200, b"{}", x_echo=key, openai_key=key, x_request_id=key),
            "stream": lambda: exchange.events(chat_event("so: "), chat_event(key), DONE),
            "split": lambda: exchange.events(
                chat_event(key[:9]), chat_event(key[9:30]), chat_event(key[30:]), DONE
            ),
            "comment": lambda: exchange.events(b": %b\n\n" % key.encode(), chat_event("hi"), DONE),
        }
        leak[place]()

    return script


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/moderations", "/v1/responses", "/v1/models"])
@pytest.mark.parametrize("place", ["401", "400", "answer", "header", "stream", "split", "comment"])
def test_leaked_key_never_comes_back(staged: Staged, place: str, path: str) -> None:
    staged.upstream.answer(_echoing(place))
    body = json.loads(STREAMING if place in ("stream", "split", "comment") else PLAIN) | {"input": "x"}
    if path == "/v1/models":
        with staged.broker.http("explorer") as client:
            reply = client.get(path, headers=bearer(staged.broker, "explorer"))
    else:
        reply = post(staged, json.dumps(body).encode(), path)
    sent = dict(staged.upstream.heads[0])["authorization"].removeprefix("Bearer ")
    seen = reply.text + str(reply.headers)
    assert sent not in seen
    assert sent[:20] not in seen
    assert sent[-12:] not in seen
    log = [json.dumps(record) for record in records(staged.broker, reply.headers["x-broker-call-id"])]
    assert not [entry for entry in log if sent in entry]
    assert sent not in staged.broker.errors.read_text()
