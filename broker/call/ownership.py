"""Whose the objects are that OpenAI keeps: a call may name its owner's only; what it makes is its owner's.

Knows: that a foreign object and one that does not exist are answered alike, and that an owner is remembered
before an id leaves. Must not know: where owners are kept, how ids are found.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.call.context import CallContext
from broker.catalog.estimate import Estimate
from broker.catalog.reserve import context_of, going_on
from broker.errors import BrokerError, Kind
from broker.model.operation import Operation
from broker.model.stored import Context, Keeping
from broker.ports import ObjectOwners
from broker.shaping.made import CHATS, is_over, keeps, made, may_make
from broker.shaping.mentions import Path

_DELETING = frozenset({Operation.CHAT_DELETE, Operation.RESPONSES_DELETE})
_READ = frozenset({"previous_response_id", "item"})
_SUCCESS = range(200, 300)


class Ownership:
    """One instance serves all calls of a process."""

    def __init__(self, owners: ObjectOwners) -> None:
        self._owners = owners

    async def admit(self, call_context: CallContext) -> Sequence[Path]:
        """What has to be left out of the request: ids of others beside texts that say all themselves. Raises
        NOT_FOUND where the call names an object that is not its owner's, whoever's it is, if anybody's.
        """
        call, mentions = call_context.accepted, call_context.mentions
        call_context.kept = keeps(call, call_context.decided)
        call_context.may_make = may_make(call, kept=call_context.kept)
        if not (mentions.references or mentions.retold):
            return ()
        lent = call_context.decided.lent
        ids = {each.id for each in mentions.references} | {each.id for each in mentions.retold}
        own = await self._owners.belong(call_context.owner, ids)
        for reference in mentions.references:
            if not own.get(reference.id, False) and reference.id not in lent:
                raise _not_found(reference.where)
        call_context.object_id = call.target
        return [each.path for each in mentions.retold if own.get(each.id) is False]

    async def going_on(self, call_context: CallContext, worst: Estimate) -> Estimate:
        """The estimate, with what is known of the responses that the call goes on from."""
        ids = {each.id for each in call_context.mentions.references if each.kind in _READ}
        if not ids or not worst.terms.billed:
            return worst
        return going_on(worst, await self._owners.contexts(ids))

    async def learn(self, call_context: CallContext, document: object) -> None:
        """A reply or an event may leave when this returns: what it says was made has an owner."""
        if not call_context.may_make:
            return
        fresh = [
            each
            for each in made(call_context.operation, document, kept=call_context.kept)
            if each not in call_context.made
        ]
        context, told_before = _context(call_context), call_context.object_id in call_context.made
        if fresh:
            if call_context.object_id is None and call_context.kept:
                call_context.object_id = fresh[0]
            keeping = _keeping(call_context)
            await self._owners.remember(call_context.owner, fresh, call_context.object_id, keeping, context)
            call_context.made.update(dict.fromkeys(fresh, keeping))
        if context is None or call_context.object_id is None:
            return
        if (told_before and is_over(document)) or await self._reads_first(call_context):
            await self._owners.measured(call_context.object_id, context)

    async def _reads_first(self, call_context: CallContext) -> bool:
        """Whether the call reads a response that was at work when it was made (`background`), and only now
        tells what was used.
        """
        reads = call_context.operation is Operation.RESPONSES_GET and call_context.object_id is not None
        return reads and None in await self._owners.contexts([str(call_context.object_id)])

    async def deleted(self, call_context: CallContext, status: int) -> None:
        """Upstream has answered: what it deleted is nobody's any more."""
        if call_context.operation in _DELETING and status in _SUCCESS and call_context.object_id is not None:
            await self._owners.forget(call_context.object_id)

    async def own(self, call_context: CallContext, ids: Sequence[str]) -> frozenset[str]:
        """Those of `ids` that are the caller's."""
        found = await self._owners.belong(call_context.owner, ids)
        return frozenset(each for each, mine in found.items() if mine)


def _context(call_context: CallContext) -> Context | None:
    """What is read where another call goes on from what this one makes, as far as upstream has told."""
    meter = call_context.meter
    usage = meter.usage if meter.estimate.terms.billed else meter.read
    if not call_context.kept or usage.tokens_in is None or usage.tokens_out is None:
        return None
    return context_of(meter.estimate, usage.model, usage.tokens_in + usage.tokens_out)


def _keeping(call_context: CallContext) -> Keeping:
    """How long OpenAI keeps what this call makes."""
    kept = call_context.operation in CHATS or any(
        each.kind == "conversation" for each in call_context.mentions.references
    )
    return Keeping.UNTIL_DELETED if kept else Keeping.USUAL


def _not_found(where: str) -> BrokerError:
    return BrokerError(
        Kind.NOT_FOUND,
        "The call names a stored object that does not exist, or that is not yours.",
        param=where,
        remedy="Name what you made through the broker and OpenAI still keeps. "
        "What was made otherwise, the security team can lend to your role.",
    )
