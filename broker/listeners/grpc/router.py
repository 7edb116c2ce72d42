"""Every RPC's handler, gathered under its rule. What has no rule has no handler.

Knows: which servicer serves which RPC. Must not know: sockets, TLS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as reflection_aio

from broker.gen.broker.v1 import audit_pb2, limits_pb2, openai_pb2, policy_pb2, token_pb2
from broker.listeners.grpc.audit import AuditServicer
from broker.listeners.grpc.calls import CallServicer, RpcMethod
from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.grpc.health import Health
from broker.listeners.grpc.limits import LimitServicer
from broker.listeners.grpc.middleware import Behaviour, RpcMiddleware
from broker.listeners.grpc.parsed import parsed
from broker.listeners.grpc.policy import PolicyServicer
from broker.listeners.grpc.rules import RULES, CallRule
from broker.listeners.grpc.tokens import TokenServicer

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic only for the type checker
SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for file in (openai_pb2, token_pb2, limits_pb2, audit_pb2, policy_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)


class RpcRouter(grpc.GenericRpcHandler):
    """Looks each RPC up by its full name. None, which grpc answers with UNIMPLEMENTED, for every other."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        unruled = handlers.keys() - RULES.keys()
        if unruled:
            raise ValueError(f"RPCs without a row in the table of rules: {', '.join(sorted(unruled))}")
        self._handlers = dict(handlers)

    def of(self, services: Iterable[ServiceDescriptor]) -> dict[str, Handler]:
        """The handlers of all methods of these, by their full names."""
        return {name: self._handlers[name] for name in methods(services)}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of the RPC that is being asked for."""
        return self._handlers.get(handler_call_details.method)


class _Collector:
    """Stands in for a server where generated code registers handlers."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """The same handlers once more, behind a lookup of their own: not needed."""


def rpc_router(dependencies: ListenerDependencies, *, reflection: bool) -> RpcRouter:
    """The handlers of this process. Raises KeyError where a method of our services has no rule."""
    middleware = RpcMiddleware(dependencies)
    behaviours = _behaviours(dependencies)
    handlers = {
        name: middleware.handler(behaviours[name], streams=method.server_streaming)
        for name, method in methods(SERVICES).items()
    }
    collector = _Collector()
    names = frozenset(service.full_name for service in SERVICES)
    health_pb2_grpc.add_HealthServicer_to_server(Health(names, dependencies.unready), collector)
    if reflection:
        servicer = reflection_aio.ReflectionServicer([*names, "grpc.health.v1.Health"])
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, collector)
    return RpcRouter({**handlers, **{name: parsed(handler) for name, handler in collector.handlers.items()}})


def methods(services: Iterable[ServiceDescriptor]) -> dict[str, MethodDescriptor]:
    """Every method by the full name that a caller sends."""
    return {
        f"/{service.full_name}/{method.name}": method for service in services for method in service.methods
    }


def _behaviours(dependencies: ListenerDependencies) -> dict[str, Behaviour]:
    calls = CallServicer(dependencies.calls, dependencies.forwarded)
    tokens = TokenServicer(dependencies.token_issuer, dependencies.administrator)
    audit = AuditServicer(dependencies.administrator)
    policy = PolicyServicer(dependencies.policy_explainer)
    limits = LimitServicer(dependencies.own_limits, dependencies.limit_administrator)
    found: dict[str, Behaviour] = {
        "/broker.v1.TokenService/IssueToken": tokens.issue,
        "/broker.v1.TokenService/IntrospectToken": tokens.introspect,
        "/broker.v1.TokenService/RevokeToken": tokens.revoke,
        "/broker.v1.AuditService/GetRecord": audit.get,
        "/broker.v1.AuditService/ListRecords": audit.list,
        "/broker.v1.AuditService/GetCheckpoint": audit.checkpoint,
        "/broker.v1.PolicyService/Explain": policy.explain,
        "/broker.v1.PolicyService/GetPolicy": policy.get,
        "/broker.v1.LimitService/GetOwnLimits": limits.own,
        "/broker.v1.LimitService/ListLimits": limits.list,
        "/broker.v1.LimitService/ResetLimit": limits.reset,
    }
    for name, method in methods(SERVICES).items():
        rule = RULES[name]
        if isinstance(rule, CallRule):
            found[name] = calls.behaviour(_rpc_method(rule, method))
    return found


def _rpc_method(rule: CallRule, method: MethodDescriptor) -> RpcMethod:
    request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    return RpcMethod(rule, request, reply, method.server_streaming)
