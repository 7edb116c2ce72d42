"""Steps 10 to 12 while a reply streams: watch, pass on, record before the last byte.

Knows: the order of a stream's ends. Must not know: sockets, gRPC, what an event says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from broker.call.audited_call import AuditedCall
from broker.call.stream_supervisor import StreamHandle
from broker.call.streamed_events import Learn, StreamedEvents
from broker.errors import BrokerError
from broker.lanes import Breath
from broker.model.call import EventBatch, Events, StreamReply
from broker.prefilter.places import Places
from broker.shaping.incomplete import recounted

_FAREWELL_SECONDS = 1.0
"""How long upstream may take to end what it has ended: its connection then serves another call."""


def stream(
    answer: StreamReply,
    places: Places | None,
    audited: AuditedCall,
    handle: StreamHandle,
    learn: Learn,
) -> Events:
    """The events that may leave, as they may; the terminal one only after the outcome is durable.

    An event leaves after `learn` has returned for it. `handle` cuts the stream where the caller may no longer
    act (expiry, revocation, policy), also between events that did not come together. Iterating raises
    BrokerError where the stream may not go on; closing early, even before the first event, is recorded too.
    """

    async def ended() -> None:
        async with aclosing(answer.events):  # type: ignore[type-var]
            handle.release()
            await asyncio.shield(audited.close(error=handle.gone))

    return Events(_watched(answer, places, audited, handle, learn), ended)


async def _watched(
    answer: StreamReply,
    places: Places | None,
    audited: AuditedCall,
    handle: StreamHandle,
    learn: Learn,
) -> AsyncGenerator[EventBatch, None]:
    streamed, breath, delivered = StreamedEvents(audited.call, places, learn), Breath(), 0
    try:
        async with aclosing(answer.events) as batches:  # type: ignore[type-var]
            while (batch := await handle.next(batches)) is not None:
                if handle.waited:
                    breath.rested()
                else:
                    await breath.taken()
                if free := await streamed.take(batch):
                    delivered += sum(map(len, free))
                    yield free
                if streamed.error is not None:
                    raise streamed.error
                if streamed.over:
                    *free, last = streamed.finish()
                    if free:
                        delivered += sum(map(len, free))
                        yield free
                    failure = streamed.failure
                    await audited.close(digest=streamed.digest, error=failure.kind if failure else None)
                    delivered += len(last)
                    yield [last]
                    if failure is not None:
                        raise failure
                    await _farewell(batches)
                    return
    except BrokerError as error:
        audited.call.reply.ended_by(error)
        await asyncio.shield(audited.close(digest=streamed.digest, error=error.kind))
        raise recounted(error, delivered) from None
    finally:
        handle.release()
        await asyncio.shield(audited.close(digest=streamed.digest, error=handle.gone))


async def _farewell(batches: AsyncIterator[EventBatch]) -> None:
    """Upstream's connection comes to its end; whatever it still says after its last event is dropped."""
    with suppress(BrokerError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await anext(batches, None)
