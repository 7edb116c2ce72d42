"""Steps 8 and 9 by themselves: how many keys one call may try, and what of their answers goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from broker.call.audited_call import AuditedCall
from broker.call.dispatch import UpstreamDispatcher
from broker.errors import BrokerError, Kind
from broker.model.call import EventBatch, Events, Reply, StreamReply, UpstreamRequest
from broker.model.pool import Member, PoolStats
from broker.model.record import Record
from broker.model.secret import Lease
from broker.model.sends import Sends
from tests.call.opened import REQUEST, opened
from tests.keypool.fakes import MemoryLedger, PoolSetup

OK = Reply(200, (), b"{}")
LIMITED = Reply(429, (("retry-after", "7"),), b"{}")
REFUSED = Reply(401, (), orjson.dumps({"error": {"code": "invalid_api_key", "message": "sk-…"}}))


class ScriptedUpstream:
    """Answers each key as it is told to; `asked` are the keys, in order."""

    def __init__(self, **answers: Reply | StreamReply | BrokerError) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def send(self, request: UpstreamRequest, lease: Lease, sends: Sends) -> Reply | StreamReply:
        assert request is REQUEST
        sends.begin()
        assert lease.member is not None
        self.asked.append(lease.member)
        answer = self.answers[lease.member]
        if isinstance(answer, BrokerError):
            raise answer
        return answer


async def recorded(call: AuditedCall, ledger: MemoryLedger) -> Record:
    """The outcome of the call."""
    await call.close()
    return ledger.records[-1]


def staged(upstream: ScriptedUpstream) -> tuple[UpstreamDispatcher, PoolSetup]:
    rig = PoolSetup(*(Member(name) for name in upstream.answers))
    return UpstreamDispatcher(rig.keys, upstream, rig.clock), rig


@pytest.mark.parametrize("turned_down", [LIMITED, REFUSED])
async def test_the_next_key_answers_at_once(turned_down: Reply) -> None:
    upstream = ScriptedUpstream(a=turned_down, b=OK)
    dispatcher, rig = staged(upstream)
    ledger = MemoryLedger()
    call = await opened(ledger)
    assert await dispatcher.dispatch(call, REQUEST) is OK
    assert upstream.asked == ["a", "b"]
    outcome = await recorded(call, ledger)
    assert outcome.key_ref == "memory:b"
    assert outcome.t_upstream_us == 0
    assert outcome.attempts == 2
    await rig.keys.aclose()


def spent(code: str) -> Reply:
    return Reply(429, (), orjson.dumps({"error": {"code": code, "type": "insufficient_quota"}}))


PROJECT_SPENT = spent("project_spend_limit_exceeded")


async def test_the_next_key_answers_where_the_first_ones_money_is_used_up() -> None:
    """It is no cooldown of one model: for a minute nobody asks it, whatever the model."""
    upstream = ScriptedUpstream(a=PROJECT_SPENT, b=OK)
    dispatcher, rig = staged(upstream)
    assert [await dispatcher.dispatch(await opened(), REQUEST) for _ in range(4)] == [OK] * 4
    assert upstream.asked == ["a", "b", "b", "b", "b"]
    assert rig.keys.stats() == (PoolStats("openai", 1, 0, 0, 1),)
    rig.later(60.1)
    await dispatcher.dispatch(await opened(), REQUEST)
    await dispatcher.dispatch(await opened(), REQUEST)
    assert upstream.asked.count("a") == 2


async def test_the_other_keys_of_a_project_whose_money_is_used_up_are_not_tried() -> None:
    upstream = ScriptedUpstream(a=PROJECT_SPENT, b=PROJECT_SPENT, c=PROJECT_SPENT, d=OK)
    members = (Member(name, project=None if name == "d" else "proj_one") for name in upstream.answers)
    rig = PoolSetup(*members)
    dispatcher = UpstreamDispatcher(rig.keys, upstream, rig.clock)
    assert await dispatcher.dispatch(await opened(), REQUEST) is OK
    assert upstream.asked == ["a", "d"]


async def test_of_an_organization_none_is_tried() -> None:
    code = spent("organization_spend_limit_exceeded")
    upstream = ScriptedUpstream(a=code, b=code, c=code, d=OK)
    members = (
        Member(name, organization=None if name == "d" else "org-one", project=f"proj_{name}")
        for name in upstream.answers
    )
    rig = PoolSetup(*members)
    dispatcher = UpstreamDispatcher(rig.keys, upstream, rig.clock)
    assert await dispatcher.dispatch(await opened(), REQUEST) is OK
    assert upstream.asked == ["a", "d"]


async def test_where_nobodys_money_is_left_upstreams_own_word_is_the_answer_and_each_is_asked_once() -> None:
    upstream = ScriptedUpstream(a=PROJECT_SPENT, b=PROJECT_SPENT)
    dispatcher, rig = staged(upstream)
    assert await dispatcher.dispatch(await opened(), REQUEST) is PROJECT_SPENT
    assert upstream.asked == ["a", "b"]
    upstream.answers = {"a": OK, "b": PROJECT_SPENT}  # somebody has raised a limit: the next call knows
    assert OK in [await dispatcher.dispatch(await opened(), REQUEST) for _ in range(2)]
    assert rig.keys.problem() == "OpenAI has no money left for any key: openai"


async def test_a_429_about_money_that_no_error_could_be_is_one_about_a_rate() -> None:
    long = Reply(429, (), PROJECT_SPENT.body + b" " * 70_000)
    dispatcher, rig = staged(ScriptedUpstream(a=long, b=OK))
    assert await dispatcher.dispatch(await opened(), REQUEST) is OK
    assert rig.keys.stats() == (PoolStats("openai", 1, 1, 0),)


async def test_one_call_tries_three_keys_and_no_more() -> None:
    upstream = ScriptedUpstream(a=REFUSED, b=LIMITED, c=REFUSED, d=OK)
    dispatcher, rig = staged(upstream)
    ledger = MemoryLedger()
    call = await opened(ledger)
    assert await dispatcher.dispatch(call, REQUEST) is REFUSED
    assert (upstream.asked, (await recorded(call, ledger)).key_ref) == (["a", "b", "c"], "memory:c")
    assert rig.keys.stats() == (PoolStats("openai", 1, 1, 2),)
    await rig.keys.aclose()


async def test_the_last_key_s_answer_stands() -> None:
    upstream = ScriptedUpstream(a=REFUSED, b=LIMITED)
    dispatcher, rig = staged(upstream)
    ledger = MemoryLedger()
    call = await opened(ledger)
    assert await dispatcher.dispatch(call, REQUEST) is LIMITED
    assert (upstream.asked, (await recorded(call, ledger)).key_ref) == (["a", "b"], "memory:b")
    await rig.keys.aclose()


async def test_where_the_others_cannot_be_had_the_first_answer_stands() -> None:
    upstream = ScriptedUpstream(a=LIMITED, b=OK)
    dispatcher, rig = staged(upstream)
    rig.source.away.add("b")
    ledger = MemoryLedger()
    call = await opened(ledger)
    assert await dispatcher.dispatch(call, REQUEST) is LIMITED
    assert (upstream.asked, (await recorded(call, ledger)).key_ref) == (["a"], "memory:a")


async def test_an_error_of_the_second_key_is_the_calls() -> None:
    broken = BrokerError(Kind.UPSTREAM_UNAVAILABLE, "gone")
    upstream = ScriptedUpstream(a=LIMITED, b=broken)
    dispatcher, _ = staged(upstream)
    ledger = MemoryLedger()
    call = await opened(ledger)
    with pytest.raises(BrokerError) as caught:
        await dispatcher.dispatch(call, REQUEST)
    assert caught.value is broken
    assert (await recorded(call, ledger)).key_ref == "memory:b"


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 503])
async def test_an_answer_about_the_call_is_the_calls(status: int) -> None:
    answer = Reply(status, (), b"{}")
    upstream = ScriptedUpstream(a=answer, b=OK)
    dispatcher, _ = staged(upstream)
    assert await dispatcher.dispatch(await opened(), REQUEST) is answer
    assert upstream.asked == ["a"]


async def test_a_key_without_the_scope_of_this_call_stays_in_service() -> None:
    body = {"error": {"code": None, "message": "You have … Missing scopes: api.responses.write. Check …"}}
    upstream = ScriptedUpstream(a=Reply(401, (), orjson.dumps(body)), b=OK)
    dispatcher, rig = staged(upstream)
    assert (await dispatcher.dispatch(await opened(), REQUEST)).status == 401
    assert rig.keys.stats() == (PoolStats("openai", 2, 0, 0),)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"error": 1}', b'{"error": {"code": ["x"]}}'])
async def test_a_401_that_says_nothing_of_use_is_about_the_key(body: bytes) -> None:
    dispatcher, rig = staged(ScriptedUpstream(a=Reply(401, (), body), b=OK))
    assert await dispatcher.dispatch(await opened(), REQUEST) is OK
    assert rig.keys.stats() == (PoolStats("openai", 1, 0, 1),)
    await rig.keys.aclose()


async def test_a_stream_that_is_not_taken_is_ended() -> None:
    ended: list[bool] = []

    async def none() -> AsyncIterator[EventBatch]:
        return
        yield []

    async def end() -> None:
        ended.append(True)

    refused = StreamReply(401, (), Events(none(), end))  # type: ignore[arg-type]
    dispatcher, rig = staged(ScriptedUpstream(a=refused, b=OK))
    assert await dispatcher.dispatch(await opened(), REQUEST) is OK
    assert ended == [True]
    await rig.keys.aclose()
