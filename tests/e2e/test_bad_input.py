"""Hostile bodies at the HTTPS listener: the error table's answer, a `denied` record, no trace of what
came.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from subprocess import run

import httpx
import pytest

from tests.e2e.raw import CANARY, assert_unwritten, bearer, nothing_reaches_upstream, records, say
from tests.running import RunningBroker

CHAT = "/v1/chat/completions"
MIB = 1024 * 1024
JSON = {"content-type": "application/json"}
MESSAGES = [{"role": "user", "content": CANARY}]


def chat(**fields: object) -> bytes:
    """A chat request that would be fine but for `fields`."""
    return json.dumps({"model": "gpt-4o", "messages": MESSAGES, **fields}).encode()


def edge(fragment: str) -> bytes:
    """A chat request with raw JSON text behind its members."""
    return chat()[:-1] + f", {fragment}}}".encode()


UNREADABLE = {
    "malformed": chat()[:-1],
    "empty": b"",
    "two documents": chat() + chat(),
    "an array": json.dumps([CANARY]).encode(),
    "a string": json.dumps(CANARY).encode(),
    "NaN": edge('"temperature": NaN'),
    "Infinity": edge('"top_p": Infinity'),
    "beyond a double": edge('"temperature": 1e999'),
    "duplicate key": edge(f'"model": "{CANARY}"'),
    "duplicate key below": edge(f'"metadata": {{"{CANARY}": 1, "{CANARY}": 2}}'),
    "100 k nesting": edge(f'"{CANARY}": {"[" * 100_000}{"]" * 100_000}'),
    "100 k nesting of objects": edge('"x": ' + '{"x":' * 100_000 + "1" + "}" * 100_000),
    "65 levels": edge(f'"x": {"[" * 65}{"]" * 65}'),
    "invalid UTF-8": edge('"user": "?"').replace(b"?", b"\xff\xfe" + CANARY.encode()),
    "half a surrogate pair": edge(f'"user": "\\ud800{CANARY}"'),
    "byte order mark": b"\xef\xbb\xbf" + chat(),
    "an integer of 5,000 digits": edge(f'"seed": {"9" * 5000}'),
}

WRONG = {
    "temperature 3": (CHAT, chat(temperature=3), "temperature"),
    "temperature as text": (CHAT, chat(temperature=CANARY), "temperature"),
    "temperature true": (CHAT, chat(temperature=True), "temperature"),
    "negative max_tokens": (CHAT, chat(max_tokens=-1), "max_tokens"),
    "max_tokens 1.5": (CHAT, chat(max_tokens=1.5), "max_tokens"),
    "unknown role": (CHAT, chat(messages=[{"role": CANARY, "content": "x"}]), "messages[0].role"),
    "role of another type": (CHAT, chat(messages=[*MESSAGES, {"role": 1}]), "messages[1].role"),
    "no messages": (CHAT, chat(messages=[]), "messages"),
    "messages as text": (CHAT, chat(messages=CANARY), "messages"),
    "a message as text": (CHAT, chat(messages=[CANARY]), "messages[0]"),
    "content a number": (CHAT, chat(messages=[{"role": "user", "content": 1}]), "messages[0].content"),
    "model a number": (CHAT, chat(model=7), "model"),
    "model of 300 characters": (CHAT, chat(model=CANARY * 20), "model"),
    "model null": (CHAT, chat(model=None), "model"),
    "stream as text": (CHAT, chat(stream=CANARY), "stream"),
    "n 0": (CHAT, chat(n=0), "n"),
    "five stops": (CHAT, chat(stop=[CANARY] * 5), "stop"),
    "logit_bias 200": (CHAT, chat(logit_bias={CANARY: 200}), "logit_bias"),
    "tools an object": (CHAT, chat(tools={CANARY: 1}), "tools"),
    "no model": (CHAT, json.dumps({"messages": MESSAGES}).encode(), "model"),
    "embeddings of an object": ("/v1/embeddings", b'{"model": "m", "input": {"a": 1}}', "input"),
    "negative token id": ("/v1/embeddings", b'{"model": "m", "input": [-1]}', "input"),
    "dimensions 0": ("/v1/embeddings", b'{"model": "m", "input": "x", "dimensions": 0}', "dimensions"),
    "encoding": (
        "/v1/embeddings",
        b'{"model": "m", "input": "x", "encoding_format": "x"}',
        "encoding_format",
    ),
    "best_of 21": ("/v1/completions", b'{"model": "m", "prompt": "x", "best_of": 21}', "best_of"),
    "edit without instruction": ("/v1/edits", b'{"model": "m", "input": "x"}', "instruction"),
    "moderation of a number": ("/v1/moderations", b'{"input": 3}', "input"),
    "response of a number": ("/v1/responses", b'{"model": "gpt-4o", "input": 3}', "input"),
}

UPSTREAM_CHOICES = (
    "api_base",
    "api_key",
    "api_version",
    "azure_endpoint",
    "base_url",
    "default_headers",
    "extra_headers",
)


def post(broker: RunningBroker, body: bytes, path: str = CHAT, **headers: str) -> httpx.Response:
    """One call as the explorer, whom policy would allow anything."""
    with broker.http("explorer") as client:
        sent = {"content-type": "application/json", **bearer(broker, "explorer"), **headers}
        return client.post(path, content=body, headers=sent)


def assert_denied(broker: RunningBroker, reply: httpx.Response, param: str, *, status: int = 400) -> None:
    """The table's answer naming the parameter, one `denied` record, nothing of the request anywhere."""
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    (record,) = records(broker, reply.headers["x-broker-call-id"])
    assert (record["type"], record["decision"], record["error"]) == ("denied", "refuse", param)
    assert record["reason"] == error["reason"]
    assert record["subject"] == broker.identities["explorer"].spiffe_id
    assert CANARY not in reply.text
    assert_unwritten(broker)


@pytest.mark.parametrize("name", UNREADABLE)
def test_body_that_two_parsers_could_read_differently_is_refused(broker: RunningBroker, name: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, UNREADABLE[name])
    assert reply.json()["error"]["code"] == "invalid_request_error"
    assert_denied(broker, reply, "body")


@pytest.mark.parametrize("name", WRONG)
def test_wrong_type_or_range_is_refused_by_its_parameter(broker: RunningBroker, name: str) -> None:
    path, body, param = WRONG[name]
    with nothing_reaches_upstream(broker):
        reply = post(broker, body, path)
    assert_denied(broker, reply, param)


@pytest.mark.parametrize("name", UPSTREAM_CHOICES)
def test_call_cannot_choose_its_upstream(broker: RunningBroker, name: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, chat(**{name: f"https://{CANARY}.example"}))
    assert_denied(broker, reply, name)


@pytest.mark.parametrize(
    "path", ["/v1/completions", "/v1/embeddings", "/v1/edits", "/v1/responses", "/v1/moderations"]
)
def test_no_operation_lets_a_call_choose_its_upstream(broker: RunningBroker, path: str) -> None:
    body = {
        "model": "gpt-4o",
        "input": "x",
        "instruction": "x",
        "prompt": "x",
        "base_url": f"https://{CANARY}",
    }
    with nothing_reaches_upstream(broker):
        reply = post(broker, json.dumps(body).encode(), path)
    assert_denied(broker, reply, "base_url")


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, br", "gzip, zstd"])
def test_body_of_an_unknown_coding_is_refused(broker: RunningBroker, encoding: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, gzip.compress(chat()), **{"content-encoding": encoding})
    assert_denied(broker, reply, "content-encoding", status=415)


@pytest.mark.parametrize("encoding", ["deflate", "zstd"])
def test_body_of_another_coding_than_it_says_is_refused(broker: RunningBroker, encoding: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, gzip.compress(chat()), **{"content-encoding": encoding})
    assert_denied(broker, reply, "body")


def test_body_that_is_20_mib_once_decoded_is_refused(broker: RunningBroker) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, gzip.compress(chat(user="x" * (20 * MIB))), **{"content-encoding": "gzip"})
    assert_denied(broker, reply, "body")


@pytest.mark.parametrize("media", ["text/plain", "multipart/form-data; boundary=x", "application/xml"])
def test_body_of_another_content_type_is_refused(broker: RunningBroker, media: str) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, chat(), **{"content-type": media})
    assert_denied(broker, reply, "body")


def test_20_mib_body_is_refused(broker: RunningBroker) -> None:
    with nothing_reaches_upstream(broker):
        reply = post(broker, chat(user="x" * (20 * MIB)))
    assert reply.json()["error"]["code"] == "invalid_request_error"
    assert_denied(broker, reply, "body", status=400)


def test_20_mib_body_in_chunks_is_refused(broker: RunningBroker) -> None:
    with broker.http("explorer") as client, nothing_reaches_upstream(broker):
        headers = {"content-type": "application/json", **bearer(broker, "explorer")}
        reply = client.post(CHAT, content=(b" " * MIB for _ in range(20)), headers=headers)
    assert_denied(broker, reply, "body", status=400)


def test_20_mib_body_of_curl_is_refused(broker: RunningBroker, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(chat(user="x" * (20 * MIB)))
    who = broker.identities["explorer"]
    command = [
        "curl",
        "-sS",
        "--cacert",
        str(broker.ca),
        "--cert",
        str(who.cert),
        "--key",
        str(who.key),
        "-w",
        "%{http_code}",
    ]
    headers = [
        "-H",
        f"authorization: Bearer {broker.token('explorer')}",
        "-H",
        "content-type: application/json",
    ]
    said = run(
        [*command, *headers, "--data-binary", f"@{tmp_path / 'body'}", broker.https + CHAT],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.endswith("400")
    assert json.loads(said.stdout.removesuffix("400"))["error"]["param"] == "body"


def test_16_mib_body_is_read(broker: RunningBroker) -> None:
    """The bound is where it is documented: what fits is parsed, and here refused for what it says."""
    frame = len(chat(temperature=3, padding=""))
    reply = post(broker, chat(temperature=3, padding="x" * (16 * MIB - frame)))
    assert_denied(broker, reply, "temperature")


@pytest.mark.parametrize("header", ["authorization", "content-type", "host"])
def test_header_that_came_twice_is_refused(broker: RunningBroker, header: str) -> None:
    token = broker.token("explorer")
    head = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    head += "content-type: application/json\r\n"
    with nothing_reaches_upstream(broker):
        reply = say(broker, "explorer", f"{head}{header}: {CANARY}\r\n\r\n".encode())
    assert (reply.status, reply.error()["param"]) == (400, header)
    assert records(broker, reply.headers["x-broker-call-id"]) == []
    assert_unwritten(broker)


def test_user_that_fills_the_record_is_committed_not_kept(broker: RunningBroker) -> None:
    reply = post(broker, chat(temperature=3, user=CANARY * 100))
    assert_denied(broker, reply, "temperature")


SECRET = "AKIAIOSFODNN7EXAMPLE"  # AWS's own documentation example


@pytest.mark.parametrize("field", ["model", "user", "safety_identifier", "metadata"])
@pytest.mark.parametrize("identity", ["explorer", "assistant"])
def test_secret_in_a_recorded_field_is_not_recorded(broker: RunningBroker, identity: str, field: str) -> None:
    """Model and user belong into every record; a secret sent in their place does not."""
    body = chat(**{field: {SECRET: "x"} if field == "metadata" else SECRET})
    with broker.http(identity) as client, nothing_reaches_upstream(broker):
        reply = client.post(CHAT, content=body, headers={**JSON, **bearer(broker, identity)})
    assert reply.status_code in (400, 403)
    (record,) = records(broker, reply.headers["x-broker-call-id"])
    assert (record["type"], record["findings"][0]["rule"]) == ("denied", "secret.aws_access_key")
    assert SECRET not in reply.text
    assert_unwritten(broker, SECRET)


def test_secret_in_the_path_is_blocked_and_not_recorded(broker: RunningBroker) -> None:
    with broker.http("explorer") as client, nothing_reaches_upstream(broker):
        reply = client.get(f"/v1/models/{SECRET}", headers=bearer(broker, "explorer"))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")
    assert_unwritten(broker, SECRET)


@pytest.mark.parametrize(
    "query", ["note=AKIAIOSFODNN7EXAMPLE", "note=AKIAIOSFODNN7%45XAMPLE", "ssn=536-22-1234"]
)
def test_secret_in_the_query_string_is_blocked(broker: RunningBroker, query: str) -> None:
    """Also what policy would take out of a body: a query string goes on whole or not at all."""
    with broker.http("explorer") as client, nothing_reaches_upstream(broker):
        reply = client.get(f"/v1/models?{query}", headers=bearer(broker, "explorer"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
    assert reply.json()["error"]["param"] == "?query"
