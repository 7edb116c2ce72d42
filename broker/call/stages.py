"""The pure stages of the path up to upstream; off the loop where the input is large.

Knows: prefilter, catalog and shaping, and which inputs would hold up other calls. Must not know: ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from urllib.parse import unquote_plus

from broker.call.phases import Decided
from broker.call.reply_filter import ReplyFilter
from broker.catalog.count import decode_tokens
from broker.catalog.estimate import Estimate, check_retired, estimate
from broker.catalog.models import find
from broker.errors import BrokerError, Kind
from broker.lanes import LARGE_BYTES, Lane, Lanes, Steps, finished
from broker.model.call import Call, UpstreamRequest
from broker.model.finding import Finding, Path, Text
from broker.model.operation import Operation
from broker.model.subject import Caller
from broker.prefilter.inspector import MOST_FINDINGS, Inspector, TooManyFindingsError
from broker.prefilter.texts import texts
from broker.shaping.mentions import Mentions, mentions
from broker.shaping.request import PURPOSE, QUERY, upstream_request


class Stages:
    """Holds what is compiled once. The thread that takes large inputs has an inspector of its own: scratch
    space must not be shared.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._large_inspector = inspector.twin()
        self._lanes = Lanes()
        self.replies = ReplyFilter(inspector, self._lanes)

    def lane(self, caller: Caller) -> Lane:
        """Where work on this caller's large inputs is done."""
        return Lane(self._lanes, caller.subject.id)

    async def inspect(self, call: Call, caller: Caller) -> tuple[Finding, ...]:
        """Step 3: what the rules find in every text of the call."""
        size = len(call.body)
        if size > LARGE_BYTES:
            return await self.lane(caller).run(size, _inspection(self._large_inspector, call))
        said = _texts_of(call)
        return () if self._inspector.passes(said) else finished(_of_a_call(self._inspector, said))

    def finds(self, text: str) -> bool:
        """Whether a rule sees something in a short text that is no part of a call."""
        return bool(self._inspector.inspect([Text((), text)]))

    async def mentions(self, call: Call, caller: Caller) -> Mentions:
        """Step 3, too: the stored objects that the call names, and what it reaches beyond its model."""
        size = len(call.body)
        if size > LARGE_BYTES:
            return await self.lane(caller).once(size, partial(mentions, call))
        return mentions(call)

    async def estimate(self, call: Call, caller: Caller, today: date, *, regional: bool = False) -> Estimate:
        """Step 4. `regional`: for a region's price. Raises MODEL_RETIRED or CONTEXT_LENGTH_EXCEEDED."""
        if call.operation is not Operation.EDITS:  # an edit's model is policy's choice, not the caller's
            check_retired(find(call.model), today)
        size, ceiling = len(call.body), caller.max_tokens
        if size > LARGE_BYTES:
            return await self.lane(caller).once(size, partial(estimate, call, ceiling, regional=regional))
        return estimate(call, ceiling, regional=regional)

    async def request(
        self, decided: Decided, bound: Mapping[str, object], left_out: Sequence[Path]
    ) -> UpstreamRequest:
        """Step 9's request, shaped and redacted. Raises as `shaping.request.upstream_request` does."""
        authenticated, call, findings, *_ = decided.asked.inspected
        facts = call, decided.decision, findings, bound, authenticated.call_id, left_out
        size = len(call.body)
        if size > LARGE_BYTES:
            return await self.lane(authenticated.caller).once(size, partial(upstream_request, *facts))
        return upstream_request(*facts)


def _inspection(inspector: Inspector, call: Call) -> Steps[tuple[Finding, ...]]:
    said = _texts_of(call)
    yield
    return (yield from _of_a_call(inspector, said))


def _of_a_call(inspector: Inspector, said: Sequence[Text]) -> Steps[tuple[Finding, ...]]:
    try:
        return (yield from inspector.steps(said))
    except TooManyFindingsError:
        raise BrokerError(
            Kind.BAD_REQUEST,
            f"The call holds more than {MOST_FINDINGS} matches of the content rules.",
            param="body",
            remedy="Split the call.",
        ) from None


def _texts_of(call: Call) -> list[Text]:
    """All texts of a call. Raises BAD_REQUEST where token ids stand for one that nobody can tell."""
    beside = _beside_the_body(call)
    if call.document is None:
        return beside
    said = texts(call.document, lambda tokens: decode_tokens(find(call.model), tokens))
    return [*beside, *said] if beside else said


def _beside_the_body(call: Call) -> list[Text]:
    """The caller's texts outside the body: a model named in the path, and the query string."""
    found = [Text(("model",), call.model)] if call.document is None and call.model else []
    if call.purpose is not None:
        found.append(Text((PURPOSE,), call.purpose))
    _, _, query = call.path.partition("?")
    return [*found, Text((QUERY,), unquote_plus(query))] if query else found
