"""PolicyService: what the policies say, and why.

Knows: its messages. Must not know: how a decision is made, or who may see which part of it.
"""

from __future__ import annotations

import orjson

from broker.gen.broker.v1 import policy_pb2
from broker.listeners.grpc.middleware import RpcContext, RpcResult
from broker.listeners.grpc.parse import parse
from broker.listeners.interfaces import PolicyInterface
from broker.model.explanation import Condition


class PolicyServicer:
    """The behaviours of PolicyService."""

    def __init__(self, policy_explainer: PolicyInterface) -> None:
        self._policy_explainer = policy_explainer

    async def explain(self, rpc: RpcContext) -> RpcResult:
        """Explain: the decision about a hypothetical input. Raises BrokerError."""
        asked = parse(policy_pb2.ExplainRequest, rpc.request)
        seen = await self._policy_explainer.explain(rpc.context, asked.point, asked.input_json)
        reply = policy_pb2.ExplainResponse(
            allow=seen.allow,
            rule=seen.rule,
            reason=seen.reason,
            changes=[str(change) for change in seen.changes],
            policy_revision=seen.policy.revision,
            policy_sha256=seen.policy.sha256,
            conditions=[_condition(condition) for condition in seen.conditions],
            role=seen.role,
            team=seen.team,
        )
        return RpcResult(reply.SerializeToString())

    async def get(self, rpc: RpcContext) -> RpcResult:
        """GetPolicy: which policies decide now."""
        parse(policy_pb2.GetPolicyRequest, rpc.request)
        revision, sha256, problem = await self._policy_explainer.policy(rpc.context)
        reply = policy_pb2.GetPolicyResponse(revision=revision, sha256=sha256, problem=problem)
        return RpcResult(reply.SerializeToString())


def _condition(condition: Condition) -> policy_pb2.Condition:
    return policy_pb2.Condition(
        rule=condition.rule,
        holds=condition.holds,
        condition=condition.condition,
        given_json=orjson.dumps(condition.given).decode(),
        wanted_json=orjson.dumps(condition.wanted).decode(),
    )
