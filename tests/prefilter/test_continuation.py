"""Events told by their bytes are filtered, counted and passed on as if each had been parsed."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.call.continuation import Continuation
from broker.call.gate import Gate
from broker.call.metering import Meter
from broker.errors import BrokerError, Kind
from broker.prefilter.places import Places
from broker.prefilter.rules import rules
from broker.prefilter.stream import StreamFilter
from broker.shaping.sse import parts
from broker.shaping.template import leaves, template
from tests.inspectors import shared_inspector
from tests.prefilter.test_reply_types import CANARY, HALVES

RULES = rules()
SECRETS = tuple(rule for rule in RULES if rule.id.startswith("secret."))


def places() -> Places:
    watched = StreamFilter(lambda rule: rule.startswith("secret."), RULES)
    again = StreamFilter(lambda rule: rule.startswith("secret."), RULES)
    return Places(watched, again, shared_inspector(watched=SECRETS))


def chat(text: object, **more: object) -> bytes:
    choice = {"index": more.pop("index", 0), "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [choice], "usage": None, **more}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def response(text: object, number: int, **more: object) -> bytes:
    chunk = {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "delta": text,
        "sequence_number": number,
    }
    return b"event: response.output_text.delta\ndata: " + orjson.dumps({**chunk, **more}) + b"\n\n"


def passed(events: Sequence[bytes], *, by_bytes: bool) -> tuple[list[bytes], str | None, list[int], int]:
    """What leaves, by which rule it is cut, each answer's tokens, and how many events were not parsed."""
    meter, known = Meter(), places()
    gate, going = Gate(known, lambda rule, where: _cut(f"{rule} {where}")), Continuation(meter, known)
    left: list[bytes] = []
    told = 0
    try:
        for event in events:
            strings = going.strings(event) if by_bytes else None
            if strings is not None:
                told += 1
                left += gate.go_on(event, strings)
                continue
            data, beside = parts(event, first=False)
            document = orjson.loads(data or b"null")
            meter.streamed(document)
            left += gate.admit(event, document, beside)
            going.read(event, document, beside)
        left += gate.finish()
    except BrokerError as error:
        return left, error.message, meter.delivered.tokens(), told
    return left, None, meter.delivered.tokens(), told


def _cut(message: str) -> BrokerError:
    return BrokerError(Kind.CONTENT_BLOCKED, message)


texts = st.one_of(
    st.sampled_from(
        [" steady", "AKIA", "IOSFODNN7", "EXAMPLE", "sk-", "", '"', "\\", "\n", "é", "\u200b", *HALVES]
    ),
    st.text(max_size=8),
)
members = st.fixed_dictionaries(
    {}, optional={
        "system_fingerprint": st.sampled_from(["fp_1", "fp_2", CANARY, HALVES[0]]),
        "obfuscation": st.sampled_from(["a", "AKIAIOSFODN", "xyzzy"]),
        "service_tier": st.sampled_from(["default", HALVES[1]]),
        "other": texts,
        "index": st.integers(0, 1),
    },
)  # fmt: skip
events = st.one_of(
    st.builds(lambda text, more: chat(text, **more), texts, members),
    st.builds(response, texts, st.integers(0, 10**12)),
)


@given(st.lists(events, max_size=12))
def test_a_stream_told_by_its_bytes_leaves_as_one_that_was_parsed(stream: list[bytes]) -> None:
    assert passed(stream, by_bytes=True)[:3] == passed(stream, by_bytes=False)[:3]


@given(st.lists(texts, min_size=1, max_size=12))
def test_a_text_told_by_bytes_is_cut_where_a_parsed_one_is(pieces: list[str]) -> None:
    for stream in ([chat(each) for each in pieces], [response(each, at) for at, each in enumerate(pieces)]):
        assert passed(stream, by_bytes=True)[:3] == passed(stream, by_bytes=False)[:3]


def test_most_events_of_a_stream_are_not_parsed() -> None:
    assert (
        passed([chat(" steady", system_fingerprint=f"fp_{at}") for at in range(51)], by_bytes=True)[3] >= 49
    )
    assert passed([response("a", at) for at in range(51)], by_bytes=True)[3] >= 45


@pytest.mark.parametrize("name", ["system_fingerprint", "obfuscation"])
def test_a_secret_in_a_string_beside_the_text_cuts_an_event_told_by_its_bytes(name: str) -> None:
    stream = [chat(" a", **{name: said}) for said in ("one", "two", CANARY)]
    left, cut, _, told = passed(stream, by_bytes=True)
    assert (len(left), told) == (2, 1 + 1)
    assert cut is not None
    assert CANARY not in cut


@given(texts, texts)
def test_an_event_that_matches_a_template_says_the_same_but_for_its_text(first: str, then: str) -> None:
    made = template(chat(first), tuple(leaves(orjson.loads(parts(chat(first), first=False)[0] or b""))))
    found = made.match(chat(then)) if made is not None else None
    assert found in (None, [then])


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"a":1,"delta":"x","delta":"y"}\n\n',
        b'data: {"a":1,"delta":"x\\u0041"}\n\n',
        b'data: {"a":1,"delta":"x"}\ndata: 1\n\n',
        b'data: {"a":1,"delta":"x\ny"}\n\n',
        b'data: {"a":1,"delta":"\xff"}\n\n',
        b'data: {"a":1,"delta":"x"}\n',
        b'data: {"a":1,"delta":',
    ],
)
def test_what_is_no_strict_json_matches_no_template(event: bytes) -> None:
    made = template(b'data: {"a":1,"delta":"x"}\n\n', tuple(leaves({"a": 1, "delta": "x"})))
    assert made is not None
    assert made.match(event) is None
