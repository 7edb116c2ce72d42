"""Every RPC has its rule, and what has none is not served."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from broker.gen.broker.v1 import (
    audit_pb2,
    chat_pb2,
    common_pb2,
    limits_pb2,
    openai_pb2,
    parts_pb2,
    policy_pb2,
    responses_pb2,
    token_pb2,
    usage_pb2,
)
from broker.listeners.grpc.router import SERVICES, Handler, RpcRouter, methods, rpc_router
from broker.listeners.grpc.rules import RULES, CallRule, Public
from broker.model.operation import AdminAction, Operation
from tests.grpc.conftest import GrpcSetup, dependencies_of, raw_rpc
from tests.grpc.fakes import FakeServices

_FILES = (
    audit_pb2, chat_pb2, common_pb2, limits_pb2, openai_pb2, parts_pb2, policy_pb2, responses_pb2, token_pb2,
    usage_pb2,
    health_pb2, reflection_pb2,
)  # fmt: skip


def _every_service() -> list[ServiceDescriptor]:
    return [service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()]


def test_the_table_names_every_rpc_of_every_service_and_nothing_else() -> None:
    assert methods(_every_service()).keys() == RULES.keys()


def test_every_rpc_of_ours_is_served_under_its_rule() -> None:
    ours = methods(service for service in _every_service() if service.full_name.startswith("broker.v1."))
    assert methods(SERVICES).keys() == ours.keys()
    assert not any(isinstance(RULES[name], Public) for name in ours)


def test_calls_and_admin_actions_are_where_they_belong() -> None:
    for name, rule in RULES.items():
        assert isinstance(rule, CallRule) == name.startswith("/broker.v1.OpenAIService/")
    used = {rule for rule in RULES.values() if isinstance(rule, AdminAction)}
    assert used == set(AdminAction)
    operations = {rule.operation for rule in RULES.values() if isinstance(rule, CallRule)}
    assert {Operation.CHAT, Operation.EDITS, Operation.MODELS_GET} <= operations


def test_an_rpc_without_a_rule_cannot_be_served() -> None:
    handler: Handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    with pytest.raises(ValueError, match="without a row"):
        RpcRouter({"/broker.v1.OpenAIService/DeleteEverything": handler})


def test_reflection_is_off_unless_it_is_turned_on() -> None:
    closed = rpc_router(dependencies_of(FakeServices()), reflection=False)
    details = _Details("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert closed.service(details) is None
    assert rpc_router(dependencies_of(FakeServices()), reflection=True).service(details) is not None


class _Details(grpc.HandlerCallDetails):
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


@pytest.mark.parametrize("method", ["/broker.v1.OpenAIService/Nothing", "/other.v1.Service/Do", "//", "/"])
async def test_an_unlisted_method_is_refused_before_anything_is_read(scene: GrpcSetup, method: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw_rpc(scene.channel, method)(b"\xff")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not scene.dependencies.inbounds


async def test_health_follows_readiness(scene: GrpcSetup) -> None:
    check = health_pb2_grpc.HealthStub(scene.channel).Check
    name = "broker.v1.OpenAIService"
    assert (await check(health_pb2.HealthCheckRequest(service=name))).status == 1
    scene.dependencies.missing = "the ledger"
    assert (await check(health_pb2.HealthCheckRequest())).status == 2
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_health_watch_tells_each_change(scene: GrpcSetup) -> None:
    watch = health_pb2_grpc.HealthStub(scene.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == 1
    scene.dependencies.missing = "the ledger"
    assert (await watch.read()).status == 2
    watch.cancel()


@pytest.mark.parametrize("method", ["Check", "Watch", "List"])
async def test_a_malformed_health_request_is_answered_without_a_word_of_python(
    scene: GrpcSetup, method: str
) -> None:
    code, details = await _malformed(scene, f"/grpc.health.v1.Health/{method}")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "The request is no message of this RPC."


async def test_no_rpc_answers_a_malformed_message_with_the_name_of_a_class(scene: GrpcSetup) -> None:
    """Every RPC that is served: ours, health and reflection."""
    for name in RULES:
        code, details = await _malformed(scene, name)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, name
        assert "class" not in details, name


async def _malformed(scene: GrpcSetup, method: str) -> tuple[grpc.StatusCode, str]:
    """How an RPC of any shape ends whose only message is no message."""
    rpc: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = scene.channel.stream_stream(method)
    call = rpc()
    await call.write(b"\xff\xff")
    await call.done_writing()
    return await call.code(), await call.details()


async def test_reflection_lists_the_services(scene: GrpcSetup) -> None:
    call = reflection_pb2_grpc.ServerReflectionStub(scene.channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await call.done_writing()
    reply = await call.read()
    names = {service.name for service in reply.list_services_response.service}
    assert names == {service.full_name for service in SERVICES} | {"grpc.health.v1.Health"}
    assert await call.read() is grpc.aio.EOF
