"""AuditService: the log, as auditors read it.

Knows: its messages, and which entries a filter lets through. Must not know: where entries are kept.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import orjson

from broker.errors import BrokerError, Kind
from broker.gen.broker.v1 import audit_pb2
from broker.listeners.fields import refuse
from broker.listeners.grpc.codec import from_document
from broker.listeners.grpc.middleware import RpcContext, RpcResult
from broker.listeners.grpc.parse import parse
from broker.listeners.interfaces import AdminInterface
from broker.tlog.search import Search

_BEFORE_FIRST = -1
_NAMED = frozenset({"user", "subject", "operation"})


class AuditServicer:
    """The behaviours of AuditService."""

    def __init__(self, administrator: AdminInterface) -> None:
        self._administrator = administrator

    async def get(self, rpc: RpcContext) -> RpcResult:
        """GetRecord: every entry of a call, or the one at a place. Raises NOT_FOUND, and BrokerError."""
        asked = parse(audit_pb2.GetRecordRequest, rpc.request)
        place = asked.WhichOneof("place")
        if place is None:
            raise refuse("place", "expected call_id or seq")
        if place == "seq":
            found = [await self._at(rpc, asked.seq)]
        else:
            found = await self._administrator.records_of(rpc.context, asked.call_id)
        if not found:
            raise BrokerError(Kind.NOT_FOUND, "The log holds no such record.", param=place)
        entries = [_entry(raw) for raw in found]
        return RpcResult(audit_pb2.GetRecordResponse(entries=entries).SerializeToString())

    async def list(self, rpc: RpcContext) -> RpcResult:
        """ListRecords: entries after a place, oldest first, those that every filter lets through."""
        asked = parse(audit_pb2.ListRecordsRequest, rpc.request)
        left = asked.limit if asked.HasField("limit") else None
        after = asked.after_seq if asked.HasField("after_seq") else _BEFORE_FIRST
        records = self._administrator.records(rpc.context, after, _search(asked))
        async with aclosing(cast("AsyncGenerator[bytes, None]", records)) as entries:
            async for raw in entries:
                if left == 0:
                    break
                await rpc.send(audit_pb2.ListRecordsResponse(entry=_entry(raw)).SerializeToString())
                left = None if left is None else left - 1
                if left == 0:
                    break  # the next one may be far away
        return RpcResult()

    async def checkpoint(self, rpc: RpcContext) -> RpcResult:
        """GetCheckpoint: the newest signed note."""
        parse(audit_pb2.GetCheckpointRequest, rpc.request)
        note = await self._administrator.checkpoint(rpc.context)
        return RpcResult(audit_pb2.GetCheckpointResponse(note=note).SerializeToString())

    async def _at(self, rpc: RpcContext, seq: int) -> bytes:
        try:
            return await self._administrator.record_at(rpc.context, seq)
        except BrokerError as error:
            if error.kind is Kind.NOT_FOUND:
                error.param = "seq"
            raise


def _entry(raw: bytes) -> audit_pb2.Entry:
    return audit_pb2.Entry(canonical_json=raw, record=from_document(audit_pb2.Record, orjson.loads(raw)))


def _search(asked: audit_pb2.ListRecordsRequest) -> Search:
    """What the entries' bytes must hold."""
    named = {field.name: (value,) for field, value in asked.ListFields() if field.name in _NAMED}
    return Search({**named, **({"type": tuple(asked.types)} if asked.types else {})})
