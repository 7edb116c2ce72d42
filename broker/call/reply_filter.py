"""Step 10: what leaves a reply, and what of it is judged; off the loop where the reply is large.

Knows: prefilter and shaping, and which replies would hold up other calls. Must not know: ports, requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from broker.call.phases import Authorized
from broker.catalog.estimate import deprecation_headers
from broker.catalog.models import find
from broker.errors import BrokerError, Kind
from broker.lanes import LARGE_BYTES, Lane, Lanes, Steps
from broker.model.call import Reply, StreamReply
from broker.model.decision import Action, CallDecision
from broker.model.finding import Finding, Text
from broker.model.operation import Operation
from broker.model.subject import Caller
from broker.model.wildcard import matches
from broker.prefilter.inspector import Finder, Inspector, Narrowed, TooManyFindingsError
from broker.prefilter.places import Places
from broker.prefilter.stream import StreamFilter
from broker.prefilter.texts import texts
from broker.prefilter.together import joined, shown_together, spread
from broker.shaping.denial import content_blocked
from broker.shaping.redaction import members, redacted_reply
from broker.shaping.reply import edit_reply, parse_reply, visible_models
from broker.shaping.usage import usage_of

_RULE_SETS = 64
_SUCCESS = 200
_SECRETS = "secret."
HEADERS = "headers"
Answer = TypeVar("Answer", Reply, StreamReply, Reply | StreamReply)
_OPENS_JSON = frozenset((b"{", b"[", b'"'))


class ReplyFilter:
    """`inspector` has the rules of which a decision cuts or redacts some; large replies go to `lanes`."""

    def __init__(self, inspector: Inspector, lanes: Lanes) -> None:
        self._inspector = inspector
        self._lanes = lanes
        self._compiled: dict[tuple[tuple[str, ...], tuple[str, ...], bool], asyncio.Task[Inspector]] = {}

    async def filter(self, answer: Reply, call: Authorized) -> Reply:
        """Step 10 for a whole reply, without what policy takes out of it: bytes stay where that is nothing.
        Raises CONTENT_BLOCKED where its text or a header holds what policy cuts.
        """
        decision, body = call.decision, answer.body
        if call.operation is Operation.MODELS and answer.status == _SUCCESS:
            body = visible_models(body, lambda name: _sees(decision, call.caller, name))
        document = await self._document(body, call.caller)
        passes = not decision.filters or self._passes(answer, document, body, decision)
        if not passes:
            answer = self.judge_headers(answer, call)
        await self._metered(document, len(body), call)
        if document is None and body and (answer.status == _SUCCESS or body.lstrip()[:1] in _OPENS_JSON):
            raise _unreadable()
        if not passes and (found := await self._found(members(document, body), len(body), call)):
            document, body = await self._redacted(document, body, found, call)
        if call.operation is Operation.EDITS:
            body = edit_reply(document, body)
        return Reply(answer.status, (*answer.headers, *deprecation_headers(find(call.model))), body)

    async def document(self, reply: Reply, caller: Caller) -> object:
        """What a whole reply says, or None where it is no JSON."""
        return await self._document(reply.body, caller)

    def judge_headers(self, answer: Answer, call: Authorized) -> Answer:
        """Step 10 for what is passed on beside the body: the answer without the headers in which something is
        to be redacted. Raises CONTENT_BLOCKED.
        """
        if not call.decision.filters:
            return answer
        inspector = self._inspector_now(call.decision)
        if not inspector.inspect([_headers(answer)]):  # one look is cheaper than ten
            return answer
        said = [Text((HEADERS, name), f"{name}: {value}") for name, value in answer.headers]
        found = _judged(inspector.inspect(said), call)
        if not found:
            return answer
        call.reply.block()  # one of them may be upstream's request id
        dropped = {finding.path[1] for finding in found}
        return replace(answer, headers=tuple(each for each in answer.headers if each[0] not in dropped))

    def places(self, decision: CallDecision) -> Places | None:
        """Step 10 for a stream: where its strings are read, for what this decision cuts; None for nothing.
        What is redacted in whole replies cuts a stream.
        """
        if not decision.filters:
            return None
        rules = self._inspector.rules
        joined = StreamFilter(decision.watches, rules)
        secrets = StreamFilter(lambda rule: decision.watches(rule) and rule.startswith(_SECRETS), rules)
        return Places(joined, secrets, self._inspector_now(decision))

    def _lane(self, caller: Caller) -> Lane:
        return Lane(self._lanes, caller.subject.id)

    async def _document(self, body: bytes, caller: Caller) -> object:
        if len(body) > LARGE_BYTES:
            return await self._lane(caller).once(len(body), partial(parse_reply, body))
        return parse_reply(body)

    async def _metered(self, document: object, size: int, call: Authorized) -> None:
        """What a whole reply tells of its cost; its texts are counted where it does not."""
        meter = call.meter
        meter.told(document)
        if meter.estimate.terms.tools or not meter.usage.counts:
            await self._lane(call.caller).once(size, partial(meter.delivered.take, document))

    def _passes(self, answer: Reply, document: object, body: bytes, decision: CallDecision) -> bool:
        """Whether one look is enough to tell that neither headers nor text hold what is to be taken out: most
        replies are small, and hold nothing.
        """
        compiling = self._compiling(decision, large=False)
        if len(body) > LARGE_BYTES or not compiling.done():
            return False
        each, _, together = _read(members(document, body))
        return compiling.result().passes([*each, *together, _headers(answer)])

    async def _found(self, said: Mapping[str, object], size: int, call: Authorized) -> tuple[Finding, ...]:
        """What is to be taken out of a reply. Raises CONTENT_BLOCKED."""
        inspector = await self._inspector_for(call.decision, large=size > LARGE_BYTES)
        return _judged(await self._lane(call.caller).run(size, _inspection(inspector, said)), call)

    async def _redacted(
        self, document: object, body: bytes, found: tuple[Finding, ...], call: Authorized
    ) -> tuple[object, bytes]:
        """The reply without what was found; its records repeat no name that held some of it."""
        lane = self._lane(call.caller)
        taken = await lane.once(len(body), lambda: redacted_reply(document, body, found))
        said, left = usage_of(document), usage_of(taken[0])
        if (said.model, said.finish_reason) != (left.model, left.finish_reason):
            call.reply.block()
        return taken

    def _inspector_now(self, decision: CallDecision) -> Finder:
        """As `_inspector_for`, but one that does more until that is compiled: no stream waits for it."""
        compiling = self._compiling(decision, large=False)
        return compiling.result() if compiling.done() else Narrowed(self._inspector, decision.watches)

    async def _inspector_for(self, decision: CallDecision, *, large: bool) -> Inspector:
        """An inspector for just the rules that this decision cuts or redacts, compiled once per set of them,
        and once more for the thread that takes large inputs.
        """
        compiling = self._compiling(decision, large=large)
        return compiling.result() if compiling.done() else await asyncio.shield(compiling)

    def _compiling(self, decision: CallDecision, *, large: bool) -> asyncio.Task[Inspector]:
        compiling = self._compiled.get((decision.cut, decision.redact, large))
        if compiling is None or compiling.cancelled():  # its event loop ended before it did
            watched = tuple(rule for rule in self._inspector.rules if decision.watches(rule.id))
            compiling = asyncio.create_task(asyncio.to_thread(Inspector, watched=watched))
            if len(self._compiled) >= _RULE_SETS:
                self._compiled.clear()
            self._compiled[decision.cut, decision.redact, large] = compiling
        return compiling


def _read(said: Mapping[str, object]) -> tuple[Sequence[Text], Sequence[Text], Sequence[Text]]:
    """All that is judged of a reply: each text; and of the parts that clients put together, the one text."""
    parts = shown_together(said)
    return texts(said, _as_no_text), parts, [joined(parts)] if parts else []


def _inspection(inspector: Inspector, said: Mapping[str, object]) -> Steps[tuple[Finding, ...]]:
    each, parts, together = _read(said)
    yield
    try:
        seen = yield from inspector.steps(each)
        over = yield from inspector.steps(together)
    except TooManyFindingsError:
        raise _unreadable() from None
    return (*seen, *spread(over, parts)) if over else seen


def _judged(found: tuple[Finding, ...], call: Authorized) -> tuple[Finding, ...]:
    """What was found in a reply, where all of it is to be taken out. Raises CONTENT_BLOCKED."""
    cuts = call.decision.cuts
    cut = [finding for finding in found if cuts(finding.rule)]
    for finding in cut or found:
        action = Action.BLOCK if cut else Action.REDACT
        call.reply.found(finding.rule, finding.location, action)
    if cut:
        call.reply.block()
        raise content_blocked(cut[0].rule, cut[0].location, "reply")
    return found


def _as_no_text(_tokens: list[int]) -> str:
    """Numbers that a reply repeats from its request were inspected there."""
    return ""


def _headers(answer: Reply | StreamReply) -> Text:
    return Text((HEADERS,), "\n".join([f"{name}: {value}" for name, value in answer.headers]))


def _unreadable() -> BrokerError:
    """What cannot be read cannot be filtered."""
    return BrokerError(
        Kind.UPSTREAM_UNAVAILABLE,
        "The upstream answered with something that is no JSON object, or with too much to be judged.",
        remedy="Try again; the broker recorded the attempt.",
        retry_after=1,
    )


def _sees(decision: CallDecision, caller: Caller, name: str) -> bool:
    """A model is listed when policy shows it and some scope of the token covers it."""
    if not any(matches(pattern, name) for pattern in decision.models):
        return False
    return any(matches(entry.partition(":")[2] or "*", name) for entry in caller.scope)
