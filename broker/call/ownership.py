"""Whose the objects are that OpenAI keeps: a call may name its owner's only; what it makes is its owner's.

Knows: that a foreign object and one that does not exist are answered alike, and that an owner is remembered
before an id leaves. Must not know: where owners are kept, how ids are found.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.call.call_objects import CallObjects
from broker.call.phases import Authorized, Decided
from broker.catalog.estimate import Estimate
from broker.catalog.reserve import context_of, going_on
from broker.errors import BrokerError, Kind
from broker.model.operation import Operation
from broker.model.stored import Context
from broker.ports import ObjectOwners
from broker.shaping.made import is_over
from broker.shaping.mentions import Mentions, Path

_DELETING = frozenset({Operation.CHAT_DELETE, Operation.RESPONSES_DELETE})
_READ = frozenset({"previous_response_id", "item"})
_SUCCESS = range(200, 300)


class Ownership:
    """One instance serves all calls of a process."""

    def __init__(self, owners: ObjectOwners) -> None:
        self._owners = owners

    async def admit(self, decided: Decided) -> tuple[CallObjects, Sequence[Path]]:
        """The call's objects, and what has to be left out of the request: ids of others beside texts that say
        all themselves. Raises NOT_FOUND where the call names an object that is not its owner's, whoever's it
        is, if anybody's.
        """
        asked, decision, _ = decided
        inspected, mentions = asked.inspected, asked.mentions
        owner = decision.owner or inspected.authenticated.caller.subject.id
        objects = CallObjects(inspected.call, decision, mentions, owner)
        if not (mentions.references or mentions.retold):
            return objects, ()
        ids = {each.id for each in mentions.references} | {each.id for each in mentions.retold}
        own = await self._owners.belong(owner, ids)
        for reference in mentions.references:
            if not own.get(reference.id, False) and reference.id not in decision.lent:
                raise _not_found(reference.where)
        return objects, [each.path for each in mentions.retold if own.get(each.id) is False]

    async def going_on(self, mentions: Mentions, worst: Estimate) -> Estimate:
        """The estimate, with what is known of the responses that the call goes on from."""
        ids = {each.id for each in mentions.references if each.kind in _READ}
        if not ids or not worst.terms.billed:
            return worst
        return going_on(worst, await self._owners.contexts(ids))

    async def learn(self, call: Authorized, document: object) -> None:
        """A reply or an event may leave when this returns: what it says was made has an owner."""
        objects = call.objects
        if not objects.may_make:
            return
        fresh = objects.fresh(document)
        context, told_before = _context(call), objects.about in objects.made
        if fresh:
            objects.begin(fresh)
            await self._owners.remember(objects.owner, fresh, objects.about, objects.keeping, context)
            objects.remembered(fresh)
        if context is None or objects.about is None:
            return
        if (told_before and is_over(document)) or await self._reads_first(call.operation, objects.about):
            await self._owners.measured(objects.about, context)

    async def _reads_first(self, operation: Operation, object_id: str) -> bool:
        """Whether the call reads a response that was at work when it was made (`background`), and only now
        tells what was used.
        """
        return operation is Operation.RESPONSES_GET and None in await self._owners.contexts([object_id])

    async def deleted(self, call: Authorized, status: int) -> None:
        """Upstream has answered: what it deleted is nobody's any more."""
        if call.operation in _DELETING and status in _SUCCESS and call.objects.about is not None:
            await self._owners.forget(call.objects.about)

    async def own(self, call: Authorized, ids: Sequence[str]) -> frozenset[str]:
        """Those of `ids` that are the caller's."""
        found = await self._owners.belong(call.objects.owner, ids)
        return frozenset(each for each, mine in found.items() if mine)


def _context(call: Authorized) -> Context | None:
    """What is read where another call goes on from what this one makes, as far as upstream has told."""
    meter = call.meter
    usage = meter.usage if meter.estimate.terms.billed else meter.read
    if not call.objects.kept or usage.tokens_in is None or usage.tokens_out is None:
        return None
    return context_of(meter.estimate, usage.model, usage.tokens_in + usage.tokens_out)


def _not_found(where: str) -> BrokerError:
    return BrokerError(
        Kind.NOT_FOUND,
        "The call names a stored object that does not exist, or that is not yours.",
        param=where,
        remedy="Name what you made through the broker and OpenAI still keeps. "
        "What was made otherwise, the security team can lend to your role.",
    )
