"""THE table of RPCs: what authorizes each, and which call it is.

Knows: full method names. Must not know: how one is served. What the table does not name is refused as
UNIMPLEMENTED before anything is read; a test reflects over every service and fails on a missing row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from broker.model.operation import AdminAction, Operation


class Public(Enum):
    """RPCs that need no decision, and why that is safe. They too need a client certificate."""

    HEALTH = "says only whether the process lives and is ready"
    REFLECTION = "the published schema, nothing else; off unless the operator turns it on"


class TokenRule(Enum):
    """The RPC that `data.broker.tokens.decision` decides."""

    TOKEN = "token"  # noqa: S105 - a rule's name, not a password


class OwnRule(Enum):
    """The RPC that tells a caller of itself: its token says who, `data.broker.calls.decision` of what."""

    LIMITS = "limits"


@dataclass(frozen=True, slots=True)
class CallRule:
    """A call through the pipeline: `data.broker.calls.decision` decides. `{model}` stands for one segment."""

    operation: Operation
    method: str
    path: str


Rule = CallRule | AdminAction | TokenRule | OwnRule | Public

_CHAT = CallRule(Operation.CHAT, "POST", "/v1/chat/completions")
_COMPLETIONS = CallRule(Operation.COMPLETIONS, "POST", "/v1/completions")
_RESPONSES = CallRule(Operation.RESPONSES, "POST", "/v1/responses")

RULES: Mapping[str, Rule] = {
    "/broker.v1.OpenAIService/CreateChatCompletion": _CHAT,
    "/broker.v1.OpenAIService/StreamChatCompletion": _CHAT,
    "/broker.v1.OpenAIService/CreateCompletion": _COMPLETIONS,
    "/broker.v1.OpenAIService/StreamCompletion": _COMPLETIONS,
    "/broker.v1.OpenAIService/CreateEdit": CallRule(Operation.EDITS, "POST", "/v1/edits"),
    "/broker.v1.OpenAIService/CreateEmbeddings": CallRule(Operation.EMBEDDINGS, "POST", "/v1/embeddings"),
    "/broker.v1.OpenAIService/CreateModeration": CallRule(Operation.MODERATIONS, "POST", "/v1/moderations"),
    "/broker.v1.OpenAIService/CreateResponse": _RESPONSES,
    "/broker.v1.OpenAIService/StreamResponse": _RESPONSES,
    "/broker.v1.OpenAIService/ListModels": CallRule(Operation.MODELS, "GET", "/v1/models"),
    "/broker.v1.OpenAIService/GetModel": CallRule(Operation.MODELS_GET, "GET", "/v1/models/{model}"),
    "/broker.v1.TokenService/IssueToken": TokenRule.TOKEN,
    "/broker.v1.TokenService/IntrospectToken": AdminAction.INTROSPECT,
    "/broker.v1.TokenService/RevokeToken": AdminAction.REVOKE,
    "/broker.v1.AuditService/GetRecord": AdminAction.RECORD_READ,
    "/broker.v1.AuditService/ListRecords": AdminAction.RECORD_READ,
    "/broker.v1.AuditService/GetCheckpoint": AdminAction.CHECKPOINT_READ,
    "/broker.v1.PolicyService/Explain": AdminAction.POLICY_EXPLAIN,
    "/broker.v1.PolicyService/GetPolicy": AdminAction.POLICY_READ,
    "/broker.v1.LimitService/GetOwnLimits": OwnRule.LIMITS,
    "/broker.v1.LimitService/ListLimits": AdminAction.LIMITS_READ,
    "/broker.v1.LimitService/ResetLimit": AdminAction.LIMITS_RESET,
    "/grpc.health.v1.Health/Check": Public.HEALTH,
    "/grpc.health.v1.Health/List": Public.HEALTH,
    "/grpc.health.v1.Health/Watch": Public.HEALTH,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Public.REFLECTION,
}
