"""What is tried again, and after how long: upstream's word, read strictly, wherever it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.keypool.key_health import LONGEST_COOLDOWN_SECONDS, KeyHealth
from broker.listeners.grpc.errors import upstream_refusal
from broker.model.call import Reply
from broker.shaping.retry_after import LONGEST_SECONDS, seconds_of, wait_of
from tests.openai.client import NOW_NS, Caller
from tests.openai.server import OK, scripted

ABSURD_ZONE = "Sat, 28 Nov 2026 18:26:40 +99999999999999999999"
LENIENT = (
    "1_0", " 10",
    "10 ", "+10", "-1", "1e3", "nan", "inf", "-inf", "Infinity", "١٠", "²", "１０", "0x10", "1.",
    ".5", "", "10\n",
    "1,0", "10s", "1.2.3", "10;q=1",
)  # fmt: skip


def answer(status: int, *fields: str, body: str = "{}") -> bytes:
    lines = (f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *fields, "", body)
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_four_times(status: int) -> None:
    async with scripted(answer(status)) as server:
        caller = Caller(server.url)
        assert (await caller.call()).status == status
        assert caller.sends.begun == 4
        await caller.close()


@pytest.mark.parametrize("status", [400, 404, 408, 409, 413, 425, 501, 505, 507, 511, 520, 524, 529, 599])
async def test_a_501_and_what_else_does_not_pass_is_tried_once(status: int) -> None:
    async with scripted(answer(status)) as server:
        caller = Caller(server.url)
        assert (await caller.call()).status == status
        assert caller.sends.begun == 1
        await caller.close()


@pytest.mark.parametrize("word", ["code", "type"])
@pytest.mark.parametrize(
    "why",
    [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "organization_usage_limit_exceeded",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
    ],
)
async def test_a_quota_that_is_used_up_is_not_tried_again(why: str, word: str) -> None:
    body = f'{{"error": {{"message": "You exceeded", "{word}": "{why}"}}}}'
    async with scripted(answer(429, "retry-after: 1", body=body)) as server:
        caller = Caller(server.url)
        reply = await caller.call()
        assert isinstance(reply, Reply)
        assert (reply.status, reply.body, caller.sends.begun) == (429, body.encode(), 1)
        await caller.close()


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", '{"error": {"code": ["insufficient_quota"]}}', "x" * 99_999]
)
async def test_a_429_of_any_other_body_is_tried_again(body: str) -> None:
    async with scripted(answer(429, body=body), OK) as server:
        caller = Caller(server.url)
        assert (await caller.call()).status == 200
        assert caller.sends.begun == 2
        await caller.close()


async def test_retry_after_ms_is_kept_to_and_passed_on() -> None:
    fields = ("retry-after: 2", "retry-after-ms: 1500")
    async with scripted(answer(429, *fields)) as server:
        caller = Caller(server.url)
        reply = await caller.call()
        assert caller.clock.slept == [1.5, 1.5, 1.5]
        assert dict(reply.headers)["retry-after-ms"] == "1500"
        await caller.close()


@pytest.mark.parametrize(
    "asked",
    ["21", "86400", "86401", "9" * 400, "Sat, 27 Nov 2027 18:26:40 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"],
)
async def test_a_wait_of_a_day_or_more_is_not_tried_at_once(asked: str) -> None:
    async with scripted(answer(503, f"retry-after: {asked}")) as server:
        caller = Caller(server.url)
        reply = await caller.call()
        assert (reply.status, caller.sends.begun, dict(reply.headers)["retry-after"]) == (503, 1, asked)
        await caller.close()


async def test_an_absurd_date_zone_is_no_error_of_ours() -> None:
    async with scripted(answer(429, f"retry-after: {ABSURD_ZONE}"), OK) as server:
        caller = Caller(server.url)
        assert (await caller.call()).status == 200
        await caller.close()


@pytest.mark.parametrize("text", LENIENT)
def test_what_is_no_number_is_not_read_as_one(text: str) -> None:
    assert seconds_of(text, NOW_NS) is None
    assert wait_of([("retry-after-ms", text), ("retry-after", text)], NOW_NS) is None


@pytest.mark.parametrize(
    "date",
    ["Sat, 28 Nov 2026 18:27:40 GMT", "Saturday, 28-Nov-26 18:27:40 GMT", "Sat Nov 28 18:27:40 2026"],
)
def test_a_date_is_read_in_each_of_its_forms(date: str) -> None:
    """RFC 9110, 5.6.7: a recipient must accept all three."""
    assert seconds_of(date, NOW_NS) == 60.0
    assert seconds_of(date, NOW_NS + 3600 * 10**9) == 0.0
    assert seconds_of(date, None) is None


_DATES = st.from_regex(
    r"(Mon|Saturday),? [0-9]{1,3}[ -](Jan|Nov)[ -][0-9]{2,5} ([0-9]{2}:){2}[0-9]{2} (GMT|[+-][0-9]{1,30})",
    fullmatch=True,
)
_SAID = st.one_of(st.text(), st.from_regex(r"[-+ ]?[0-9_.e]{1,30}"), st.from_regex(r"[0-9]{300,400}"), _DATES)


@given(_SAID, st.sampled_from(["retry-after", "retry-after-ms"]), st.integers(0, 4 * 10**18))
def test_whatever_upstream_says_reading_it_raises_nothing(said: str, name: str, now_ns: int) -> None:
    asked = wait_of([(name, said)], now_ns)
    assert asked is None or 0 <= asked <= LONGEST_SECONDS
    assert upstream_refusal(Reply(429, ((name, said),), b"{}"))  # over gRPC, too


def test_no_answer_takes_a_key_away_for_longer_than_an_hour() -> None:
    health = KeyHealth("a")
    health.cool_down("gpt-4o", LONGEST_SECONDS, 0)
    assert health.cooling_until("gpt-4o") == int(LONGEST_COOLDOWN_SECONDS * 10**9)
