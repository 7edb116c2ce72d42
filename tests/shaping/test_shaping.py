"""Shaping: what nothing had to change stays byte for byte; the rest changes as decided."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalog.estimate import NO_ESTIMATE
from broker.errors import BrokerError
from broker.identity.scope import covers
from broker.model.call import Call
from broker.model.decision import CallDecision, Content, PolicyVersion, Shape
from broker.model.operation import TRAITS, Operation
from broker.model.subject import Caller, Peer, Subject
from broker.shaping import edits
from broker.shaping.binding import bind
from broker.shaping.policy_input import call_input
from broker.shaping.reply import visible_models
from broker.shaping.request import shaped, upstream_request
from broker.shaping.sse import EventSplitter, field, is_terminal
from broker.shaping.usage import usage_of

STREAM = (
    b': comment\n\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    b"event: response.created\r\ndata: {}\r\n\r\ndata: [DONE]\n\n"
)


def caller(scope: tuple[str, ...] = ("chat",), user: str | None = None, ceiling: int | None = None) -> Caller:
    peer = Peer("spiffe://dev.broker/ns/demo/sa/a", "00" * 32, 0, 1)
    return Caller(Subject(peer.spiffe_id, "demo"), peer, "tok", scope, 1, user, ceiling)


def call(**document: object) -> Call:
    user = document.get("user")
    return Call(
        Operation.CHAT, "POST", "/", b"{}", document, "gpt-4o", user=user if isinstance(user, str) else None
    )


def allowed(shape: Shape) -> CallDecision:
    return CallDecision(True, "granted", "", PolicyVersion("", ""), Content(), shape)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_come_whole_however_the_stream_is_split(cuts: list[int]) -> None:
    splitter = EventSplitter()
    places = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in itertools.pairwise(places)]
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    assert b"".join(events) == STREAM
    assert splitter.rest == b""
    assert [is_terminal(event) for event in events] == [False, False, False, True]


def test_a_text_that_says_done_is_not_the_end() -> None:
    assert not is_terminal(b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n')
    assert is_terminal(b"event: response.completed\ndata: {}\n\n")
    assert field(b"data: a\ndata: b\n\n", b"data") == b"a\nb"


def test_a_field_that_is_null_is_absent() -> None:
    """Issue 12, B.27: SDKs write null for what was not set."""
    fields = ("user", "safety_identifier", "max_tokens", "max_completion_tokens", "n", "stream", "metadata")
    nulls = dict.fromkeys(fields)
    asked = call(**nulls)
    bound = bind(asked, caller(user="alice", ceiling=9), covers)
    assert bound == {"user": "alice", "max_completion_tokens": 9}
    named = call(**{**nulls, "user": "alice"})
    assert bind(named, caller(user="alice"), covers) == {}


def test_a_field_that_is_null_is_absent_for_policy() -> None:
    asked = call(n=None, logit_bias=None, temperature=1.0)
    document = call_input(caller(), asked, (), NO_ESTIMATE, "https", 0)
    assert isinstance(document["call"], dict)
    assert (document["call"]["fields"], document["call"]["parameters"]) == (
        ["temperature"],
        {"temperature": 1.0},
    )


@pytest.mark.parametrize("said", [True, False, None])
def test_policy_is_told_what_the_body_says_of_being_kept(said: bool | None) -> None:
    document = call_input(caller(), call(store=said), (), NO_ESTIMATE, "https", 0)
    silent = call_input(caller(), call(), (), NO_ESTIMATE, "https", 0)
    assert isinstance(document["call"], dict)
    assert isinstance(silent["call"], dict)
    assert (document["call"]["store"], silent["call"]["store"]) == (said, None)


def test_token_bound_to_a_user_cannot_name_another() -> None:
    assert bind(call(), caller(user="alice"), covers) == {"user": "alice"}
    assert bind(call(user="alice"), caller(user="alice"), covers) == {}
    with pytest.raises(BrokerError):
        bind(call(user="bob"), caller(user="alice"), covers)
    with pytest.raises(BrokerError):
        bind(call(user="alice", safety_identifier="bob"), caller(user="alice"), covers)


def test_token_ceiling_cannot_be_passed() -> None:
    assert bind(call(), caller(ceiling=64), covers) == {"max_completion_tokens": 64}
    assert bind(call(max_tokens=64), caller(ceiling=64), covers) == {}
    with pytest.raises(BrokerError):
        bind(call(max_tokens=1, max_completion_tokens=65), caller(ceiling=64), covers)


@pytest.mark.parametrize(("cap", "ceiling", "sent"), [(500, 1000, 500), (1000, 500, 500), (None, 500, 500)])
def test_a_token_with_a_higher_ceiling_does_not_replace_a_roles_cap(
    cap: int | None, ceiling: int, sent: int
) -> None:
    """Whoever asked for a token with a `max_tokens` above the cap was sent with that."""
    asked = call(messages=[])
    bound = bind(asked, caller(ceiling=ceiling), covers)
    decided = allowed(Shape({"max_completion_tokens": cap} if cap else {}))
    request = upstream_request(asked, decided, (), bound, "c1")
    assert json.loads(request.body)["max_completion_tokens"] == sent


@pytest.mark.parametrize("operation", [each for each in Operation if TRAITS[each].bounds])
def test_a_bound_of_output_is_never_stripped(operation: Operation) -> None:
    """The call was judged by it; without it the answer could be as long as the model's longest."""
    named = dict.fromkeys(TRAITS[operation].bounds, 9)
    asked = Call(operation, "POST", "/", b"{}", {**named, "seed": 1}, "gpt-4o")
    shape = Shape(remove=(*named, "seed"))
    request = upstream_request(asked, allowed(shape), (), {}, "c1")
    assert json.loads(request.body) == named
    assert shaped(asked, shape).document == {**named, "model": "gpt-4o"}


def test_scope_of_the_token_binds_whatever_policy_says() -> None:
    with pytest.raises(BrokerError) as refused:
        bind(call(), caller(scope=("chat:gpt-4o-mini", "embeddings")), covers)
    assert refused.value.rule == "token.scope"
    assert "Allowed would be: model: gpt-4o-mini." in refused.value.remedy
    assert refused.value.details == {"counterfactual": "model: gpt-4o-mini"}


def test_a_scope_without_the_operation_names_those_it_has() -> None:
    with pytest.raises(BrokerError) as refused:
        bind(call(), caller(scope=("models", "embeddings:text-embedding-3-small")), covers)
    assert "Allowed would be: operation: embeddings or models." in refused.value.remedy


def test_edits_become_chat_and_come_back() -> None:
    chat = edits.to_chat({"model": "x", "input": "helo", "instruction": "Fix", "n": 2}, "gpt-4o-mini")
    assert (chat["model"], chat["n"]) == ("gpt-4o-mini", 2)
    usage = {"total_tokens": 3}
    reply = {"created": 7, "choices": [{"index": 0, "message": {"content": "hello"}}], "usage": usage}
    assert edits.from_chat(reply) == {
        "object": "edit",
        "created": 7,
        "choices": [{"text": "hello", "index": 0}],
        "usage": usage,
    }


def test_models_the_caller_may_not_use_are_not_listed() -> None:
    body = b'{"object":"list","data":[{"id":"gpt-4o"},{"id":"o3"}]}'
    assert (
        visible_models(body, lambda model: model == "gpt-4o") == b'{"object":"list","data":[{"id":"gpt-4o"}]}'
    )
    assert visible_models(body, lambda _: True) is body


def test_usage_is_read_from_every_family() -> None:
    assert usage_of({"usage": {"prompt_tokens": 1, "completion_tokens": 2}}).tokens_out == 2
    nested = usage_of(
        {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 4}}}
    )
    assert (nested.tokens_in, nested.tokens_out) == (3, 4)
    assert usage_of([]).tokens_in is None
