"""AuditService: the log, as auditors read it.

Knows: its messages, and which entries a filter lets through. Must not know: where entries are kept.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import orjson

from broker.errors import BrokerError, Kind
from broker.gen.broker.v1 import audit_pb2
from broker.listeners.fields import refuse
from broker.listeners.grpc.codec import from_document
from broker.listeners.grpc.core import TRANSPORT
from broker.listeners.grpc.parse import parse
from broker.listeners.grpc.rim import Answer, Visit
from broker.listeners.surface import Administering

_BEFORE_FIRST = -1
Wanted = Callable[[audit_pb2.Record], bool]


class AuditDesk:
    """The behaviours of AuditService."""

    def __init__(self, administration: Administering) -> None:
        self._administration = administration

    async def get(self, visit: Visit) -> Answer:
        """GetRecord: every entry of a call, or the one at a place. Raises NOT_FOUND, and BrokerError."""
        asked = parse(audit_pb2.GetRecordRequest, visit.request)
        place = asked.WhichOneof("place")
        if place is None:
            raise refuse("place", "expected call_id or seq")
        found: list[audit_pb2.Entry] = []
        after = asked.seq - 1 if place == "seq" else _BEFORE_FIRST
        async with aclosing(self._entries(visit, after)) as entries:
            async for raw in entries:
                entry = _entry(raw)
                if place == "seq":
                    found = [entry] if entry.record.seq == asked.seq else []
                    break
                if entry.record.call_id == asked.call_id:
                    found.append(entry)
        if not found:
            raise BrokerError(Kind.NOT_FOUND, "The log holds no such record.", param=place)
        return Answer(audit_pb2.GetRecordResponse(entries=found).SerializeToString())

    async def list(self, visit: Visit) -> Answer:
        """ListRecords: entries after a place, oldest first, those that every filter lets through."""
        asked = parse(audit_pb2.ListRecordsRequest, visit.request)
        wanted = _wanted(asked)
        left = asked.limit if asked.HasField("limit") else None
        after = asked.after_seq if asked.HasField("after_seq") else _BEFORE_FIRST
        async with aclosing(self._entries(visit, after)) as entries:
            async for raw in entries:
                if left == 0:
                    break
                entry = _entry(raw)
                if wanted(entry.record):
                    await visit.send(audit_pb2.ListRecordsResponse(entry=entry).SerializeToString())
                    left = None if left is None else left - 1
        return Answer()

    async def checkpoint(self, visit: Visit) -> Answer:
        """GetCheckpoint: the newest signed note."""
        parse(audit_pb2.GetCheckpointRequest, visit.request)
        note = await self._administration.checkpoint(visit.peer, TRANSPORT, visit.call_id)
        return Answer(audit_pb2.GetCheckpointResponse(note=note).SerializeToString())

    def _entries(self, visit: Visit, after_seq: int) -> AsyncGenerator[bytes, None]:
        entries = self._administration.records(visit.peer, after_seq, TRANSPORT, visit.call_id)
        return cast("AsyncGenerator[bytes, None]", entries)


def _entry(raw: bytes) -> audit_pb2.Entry:
    return audit_pb2.Entry(canonical_json=raw, record=from_document(audit_pb2.Record, orjson.loads(raw)))


def _wanted(asked: audit_pb2.ListRecordsRequest) -> Wanted:
    types = frozenset(asked.types)
    named = {"user", "subject", "operation"}
    exact = [(field.name, value) for field, value in asked.ListFields() if field.name in named]

    def wanted(record: audit_pb2.Record) -> bool:
        return (not types or record.type in types) and all(
            getattr(record, name) == value for name, value in exact
        )

    return wanted
