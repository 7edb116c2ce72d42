"""LimitService: what is left of limits.

Knows: its messages. Must not know: how limits are counted, or who may know.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.gen.broker.v1 import limits_pb2
from broker.listeners.grpc.metadata import bearer_of
from broker.listeners.grpc.middleware import RpcContext, RpcResult
from broker.listeners.grpc.parse import parse
from broker.listeners.interfaces import LimitInterface, OwnLimitInterface
from broker.model.charge import LimitUse

_MOST = 100


class LimitServicer:
    """The behaviours of LimitService."""

    def __init__(self, own: OwnLimitInterface, administrator: LimitInterface) -> None:
        self._own = own
        self._administrator = administrator

    async def own(self, rpc: RpcContext) -> RpcResult:
        """GetOwnLimits: what a call of a kind would be charged against. Raises BrokerError."""
        asked = parse(limits_pb2.GetOwnLimitsRequest, rpc.request)
        kind = asked.operation or None, asked.model or None
        limits = [
            limits_pb2.OwnLimit(
                limit=name,
                unit=left.unit.value,
                cap=left.cap,
                remaining=left.remaining,
                reset_seconds=left.reset_seconds,
            )
            for name, left in await self._own.own(rpc.context, bearer_of(rpc.metadata), *kind)
        ]
        return RpcResult(limits_pb2.GetOwnLimitsResponse(limits=limits).SerializeToString())

    async def list(self, rpc: RpcContext) -> RpcResult:
        """ListLimits: what is taken of everybody's."""
        asked = parse(limits_pb2.ListLimitsRequest, rpc.request)
        most = asked.most if asked.HasField("most") else _MOST
        uses = await self._administrator.most_used(rpc.context, asked.named, most)
        return RpcResult(limits_pb2.ListLimitsResponse(limits=_uses(uses)).SerializeToString())

    async def reset(self, rpc: RpcContext) -> RpcResult:
        """ResetLimit: has one begin anew."""
        asked = parse(limits_pb2.ResetLimitRequest, rpc.request)
        given = await self._administrator.reset(rpc.context, asked.limit)
        uses = _uses(LimitUse(each, None) for each in given)
        return RpcResult(limits_pb2.ResetLimitResponse(limits=uses).SerializeToString())


def _uses(uses: Iterable[LimitUse]) -> list[limits_pb2.LimitUse]:
    return [
        limits_pb2.LimitUse(
            limit=taken.limit,
            unit=taken.unit.value,
            taken=taken.amount,
            cap=cap,
            seconds=taken.seconds,
            start=taken.start,
        )
        for taken, cap in uses
    ]
