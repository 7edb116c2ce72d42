"""PolicyService: what the policies say, and why.

Knows: its messages. Must not know: how a decision is made, or who may see which part of it.
"""

from __future__ import annotations

import orjson

from broker.gen.broker.v1 import policy_pb2
from broker.interfaces import Explains
from broker.listeners.grpc.parse import parse
from broker.listeners.grpc.rim import Answer, Visit
from broker.model.explanation import Condition


class PolicyDesk:
    """The behaviours of PolicyService."""

    def __init__(self, explaining: Explains) -> None:
        self._explaining = explaining

    async def explain(self, visit: Visit) -> Answer:
        """Explain: the decision about a hypothetical input. Raises BrokerError."""
        asked = parse(policy_pb2.ExplainRequest, visit.request)
        seen = await self._explaining.explain(visit.context, asked.point, asked.input_json)
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
        return Answer(reply.SerializeToString())

    async def get(self, visit: Visit) -> Answer:
        """GetPolicy: which policies decide now."""
        parse(policy_pb2.GetPolicyRequest, visit.request)
        revision, sha256, problem = await self._explaining.policy(visit.context)
        reply = policy_pb2.GetPolicyResponse(revision=revision, sha256=sha256, problem=problem)
        return Answer(reply.SerializeToString())


def _condition(condition: Condition) -> policy_pb2.Condition:
    return policy_pb2.Condition(
        rule=condition.rule,
        holds=condition.holds,
        condition=condition.condition,
        given_json=orjson.dumps(condition.given).decode(),
        wanted_json=orjson.dumps(condition.wanted).decode(),
    )
