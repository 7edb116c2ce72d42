"""No function that runs on the event loop takes over 50 ms, whatever within the limits it is given.

Each function of the path is given every hostile input of the largest size that it is ever given on the loop:
what is larger goes beside it (`lanes.LARGE_BYTES`). CPU time is measured, the least of a few runs: the
machine may be busy.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote_plus

import orjson
import pytest

from broker import strictjson
from broker.call.stages import _inspection
from broker.catalog.estimate import Estimate, estimate
from broker.catalog.models import find
from broker.errors import BrokerError, Kind
from broker.gen.broker.v1 import openai_pb2
from broker.identity.scope import MAX_SCOPE_CHARACTERS, covers, parse_scope
from broker.lanes import LARGE_BYTES, finished
from broker.listeners.decode import decode_document, parse_body
from broker.listeners.grpc.codec import DocumentError, from_document, to_document
from broker.listeners.grpc.metadata import bearer_of, forwarded_headers, purpose_of
from broker.listeners.grpc.wirecount import has_more_fields
from broker.listeners.https import routes
from broker.listeners.https.app import _headers
from broker.listeners.https.forms import form_of, query_of
from broker.listeners.https.request import MAX_FORM_BYTES
from broker.model.call import Call
from broker.model.decision import CallDecision, Content, PolicyVersion
from broker.model.finding import Finding, Text
from broker.model.operation import Operation
from broker.model.subject import Caller, Peer, Subject
from broker.shaping.policy_input import call_input
from broker.shaping.recorded_input import recorded_call
from broker.shaping.request import upstream_request
from broker.shaping.retry_after import seconds_of
from broker.shaping.sse import EventSplitter, field, is_terminal
from tests.inspectors import shared_inspector
from tests.loop.hostile import PIECES, makes

LIMIT_SECONDS = 0.05
HEADERS = 16 * 1024
CHUNK = 256 * 1024  # what one read of the upstream's connection gives at most
CALLER = Caller(
    Subject("spiffe://d/ns/a/sa/b", "a"), Peer("spiffe://d/ns/a/sa/b", "00", 0, 1), "t", ("chat",), 1
)
BODIES = makes()


def seconds(work: Callable[[], object]) -> float:
    """CPU-seconds of this thread, the least of three runs. A refusal is an answer like another."""
    spent = []
    for _ in range(3):
        begun = time.thread_time()
        with contextlib.suppress(
            BrokerError, DocumentError, strictjson.StrictJsonError, ValueError, LookupError
        ):
            work()
        spent.append(time.thread_time() - begun)
        if spent[-1] < LIMIT_SECONDS / 2:
            break
    return min(spent)


def assert_quick(**works: Callable[[], object]) -> None:
    slow = {name: round(took, 3) for name, work in works.items() if (took := seconds(work)) > LIMIT_SECONDS}
    assert not slow


def call_of(raw: bytes) -> Call | None:
    operation = Operation.EMBEDDINGS if b'"input":' in raw[:24] else Operation.CHAT
    with contextlib.suppress(BrokerError):
        return decode_document(operation, "POST", "/v1/x", parse_body(raw), raw)
    return None


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_read_on_the_loop(name: str) -> None:
    raw = BODIES[name](LARGE_BYTES)
    assert_quick(decode=lambda: call_of(raw))
    call = call_of(raw)
    if call is None:
        return
    found: tuple[Finding, ...] = ()
    with contextlib.suppress(BrokerError):
        found = finished(_inspection(shared_inspector(), call))
    redacting = Content(redact=frozenset(finding.rule for finding in found))
    decision = CallDecision(True, "r", "", PolicyVersion("", ""), redacting)
    guess = Estimate(1, 1, 1, None)
    asked = call_input(CALLER, call, found, guess, "https", 0)
    assert_quick(
        inspect=lambda: finished(_inspection(shared_inspector(), call)),
        estimate=lambda: estimate(call, None),
        redact=lambda: upstream_request(call, decision, found, {}, "id"),
        policy_input=lambda: call_input(CALLER, call, found, guess, "https", 0),
        question=lambda: orjson.dumps(asked, option=orjson.OPT_SORT_KEYS),
        record=lambda: recorded_call(asked, {}, set()),
        decode_grpc=lambda: from_document(openai_pb2.CreateChatCompletionRequest, call.document),
    )


@pytest.mark.parametrize("name", BODIES)
def test_a_message_that_is_read_on_the_loop(name: str) -> None:
    call = call_of(BODIES[name](LARGE_BYTES))
    if call is None or call.operation is not Operation.CHAT:
        return
    kind = openai_pb2.CreateChatCompletionRequest
    raw = from_document(kind, call.document).SerializeToString()[:LARGE_BYTES]
    with contextlib.suppress(Exception):
        message = kind.FromString(raw)
        assert_quick(
            parse=lambda: kind.FromString(raw),
            count=lambda: has_more_fields(kind, raw, 1),
            document=lambda: to_document(message),
        )


@pytest.mark.parametrize("piece", PIECES)
def test_what_stands_beside_a_body(piece: str) -> None:
    """Headers, metadata, paths, queries, forms, scopes, tokens: all that has a size of its own."""
    short = (piece * HEADERS)[:HEADERS]
    raw = short.encode("utf-8", "replace")[:HEADERS]
    scope = (piece * MAX_SCOPE_CHARACTERS)[:MAX_SCOPE_CHARACTERS]
    pattern = "chat:" + scope.replace(" ", "")[:128]
    form = quote_from_bytes(raw).encode()[:MAX_FORM_BYTES]
    query = unquote_plus(quote_from_bytes(raw)[:HEADERS])
    media = {"content-type": "application/x-www-form-urlencoded"}
    many = [(b"x-%d" % number, raw[:256]) for number in range(64)]
    told = [("authorization", short), ("x-broker-purpose", short)]
    assert_quick(
        headers=lambda: _headers(many),
        same_header=lambda: _headers([(b"x", raw[:256])] * 64),
        bearer=lambda: bearer_of(told),
        forwarded=lambda: forwarded_headers(told, ("x-",)),
        purpose=lambda: purpose_of(told),
        route=lambda: routes.find("GET", "/v1/models/" + short),
        form=lambda: form_of(media, form),
        plain_form=lambda: form_of(media, raw),
        asked=lambda: query_of(form.decode(), "x"),
        scope=lambda: parse_scope(scope),
        covers=lambda: covers((pattern,) * 64, "chat", short[:256]),
        model=lambda: find(short[:256]),
        query=lambda: shared_inspector().inspect([Text(("?query",), query)]),
        token=lambda: strictjson.parse(raw[:4096]),
        retry_after=lambda: seconds_of(short, 0),
    )


@pytest.mark.parametrize(
    "piece", [b"\n", b"\r", b"\r\n", b"data: 1\n\n", b"data:\n", b":\n", b"event: error\n\n", b"\n\r"]
)
def test_what_upstream_sends_as_a_stream(piece: bytes) -> None:
    chunk = (piece * CHUNK)[:CHUNK]

    def one_event() -> None:
        next(iter(EventSplitter().feed(chunk)), None)

    event = chunk[:LARGE_BYTES]
    assert_quick(split=one_event, field=lambda: field(event, b"data"), terminal=lambda: is_terminal(event))


def test_the_measure_sees_what_is_slow() -> None:
    with pytest.raises(AssertionError, match="slow"):
        assert_quick(slow=lambda: sum(range(20_000_000)))
    assert seconds(lambda: (_ for _ in ()).throw(BrokerError(Kind.INTERNAL, ""))) < LIMIT_SECONDS
