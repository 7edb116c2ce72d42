"""Nothing that is legal is refused: recorded calls of real clients go through, arriving as they were sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.raw import bearer
from tests.e2e.staged import Staged
from tests.e2e.upstreams import DONE, Exchange
from tests.recorded.corpus import STORED, RecordedCall, recorded_calls
from tests.running import RunningBroker

CALLS = recorded_calls()
_CLIENTS = 12


@pytest.fixture(scope="module")
def listener(broker: RunningBroker) -> Iterator[httpx.Client]:
    """One connection for all calls, as an SDK keeps one."""
    with broker.http("explorer") as client:
        yield client


@pytest.fixture(scope="module")
def stored(broker: RunningBroker, listener: httpx.Client) -> str:
    """The id of a response that this caller has stored."""
    body = {"model": "gpt-4o-mini", "input": "keep", "store": True}
    reply = listener.post("/v1/responses", json=body, headers=bearer(broker, "explorer"))
    return str(reply.json()["id"])


def send(listener: httpx.Client, broker: RunningBroker, call: RecordedCall, body: bytes) -> httpx.Response:
    headers = [*call.headers, *bearer(broker, "explorer").items()]
    return listener.request(call.method, call.path, content=body or None, headers=headers)


def test_the_corpus_is_all_there() -> None:
    """A folder that is found empty would pass every test below."""
    assert len({call.client for call in CALLS}) == _CLIENTS
    assert len(CALLS) >= 140


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_recorded_call_goes_through(
    broker: RunningBroker, listener: httpx.Client, stored: str, call: RecordedCall
) -> None:
    reply = send(listener, broker, call, call.body.replace(STORED.encode(), stored.encode()))
    assert reply.status_code == 200, reply.text
    if call.streams:
        assert '"error"' not in reply.text.replace('"error":null', "").replace('"error": null', "")
        assert reply.text.endswith("\n\n")


@pytest.mark.parametrize("call", [call for call in CALLS if STORED.encode() not in call.body], ids=str)
def test_a_recorded_body_arrives_as_it_was_sent(staged: Staged, call: RecordedCall) -> None:
    """Byte for byte, but for `stream_options`: the broker asks for the usage that it records."""
    staged.upstream.answer(_answer(call))
    with staged.broker.http("explorer") as client:
        reply = send(client, staged.broker, call, call.body)
    assert reply.status_code == 200, reply.text
    (arrived,) = staged.upstream.bodies
    if arrived != call.body:
        assert call.streams
        assert _without_usage(arrived) == _without_usage(call.body)
    assert staged.upstream.paths == [call.path]


def _without_usage(body: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(body)
    options = document.pop("stream_options", None)
    rest = {k: v for k, v in options.items() if k != "include_usage"} if isinstance(options, dict) else {}
    return {**document, "stream_options": rest}


def _answer(call: RecordedCall) -> Callable[[Exchange], None]:
    def script(exchange: Exchange) -> None:
        if not call.streams:
            exchange.whole(200, b"{}")
        elif call.path == "/v1/responses":
            data = (
                b'{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[]}}'
            )
            exchange.events(b"event: response.completed\ndata: " + data + b"\n\n")
        else:
            exchange.events(DONE)

    return script
