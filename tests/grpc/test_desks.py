"""TokenService and AuditService over the wire."""

from __future__ import annotations

import grpc
import grpc.aio
import orjson
import pytest

from broker.gen.broker.v1 import audit_pb2, token_pb2
from broker.model.token import AccessTokenRequest, TokenState
from tests.grpc.conftest import GrpcSetup

ENTRIES = [
    {"v": 1, "seq": 0, "type": "start", "call_id": "boot"},
    {"v": 1, "seq": 1, "type": "intent", "call_id": "c1", "user": "u1", "operation": "chat"},
    {"v": 1, "seq": 2, "type": "outcome", "call_id": "c1", "user": "u1", "operation": "chat", "new": [1]},
    {"v": 1, "seq": 3, "type": "denied", "call_id": "c2", "user": "u2", "operation": "chat"},
]


async def test_a_token_is_issued_for_the_certificate_of_the_connection(scene: GrpcSetup) -> None:
    asked = token_pb2.IssueTokenRequest(scope=["chat:gpt-4o models"], ttl_seconds=60, user="u")
    issued = await scene.tokens.IssueToken(asked)
    assert (issued.token, issued.token_id, issued.expires_in) == ("minted", "tok_1", 300)
    peer, wish, transport = scene.dependencies.wishes[0]
    assert peer.spiffe_id.endswith("/sa/assistant")
    assert wish == AccessTokenRequest(("chat:gpt-4o", "models"), 60, "u", None, None)
    assert transport == "grpc"


@pytest.mark.parametrize(
    "asked",
    [{"ttl_seconds": 0}, {"max_tokens": -1}, {"scope": ["everything"]}, {"scope": ["chat:$(x)"]}],
)
async def test_a_malformed_wish_is_refused(scene: GrpcSetup, asked: dict[str, object]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scene.tokens.IssueToken(token_pb2.IssueTokenRequest(**asked))  # type: ignore[arg-type]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not scene.dependencies.wishes


async def test_introspection_tells_the_state(scene: GrpcSetup) -> None:
    scene.dependencies.state = TokenState(True, "tok_1", "spiffe://s", ("chat",), 1, 2, "thumb", "u")
    told = await scene.tokens.IntrospectToken(token_pb2.IntrospectTokenRequest(token="t"))
    assert (told.active, told.token_id, told.subject, list(told.scope)) == (
        True,
        "tok_1",
        "spiffe://s",
        ["chat"],
    )
    scene.dependencies.state = TokenState(active=False)
    told = await scene.tokens.IntrospectToken(token_pb2.IntrospectTokenRequest(token="t"))
    assert told == token_pb2.IntrospectTokenResponse(active=False)


async def test_revocation_reaches_the_core(scene: GrpcSetup) -> None:
    await scene.tokens.RevokeToken(token_pb2.RevokeTokenRequest(token="t9"))
    assert scene.dependencies.revoked == ["t9"]
    with pytest.raises(grpc.aio.AioRpcError):
        await scene.tokens.RevokeToken(token_pb2.RevokeTokenRequest())


async def test_the_records_of_a_call_and_of_a_place(scene: GrpcSetup) -> None:
    scene.dependencies.entries = [orjson.dumps(entry) for entry in ENTRIES]
    of_call = await scene.audit.GetRecord(audit_pb2.GetRecordRequest(call_id="c1"))
    assert [entry.record.seq for entry in of_call.entries] == [1, 2]
    assert of_call.entries[1].canonical_json == scene.dependencies.entries[2]
    assert of_call.entries[1].record.extra["new"] == [1]
    at_place = await scene.audit.GetRecord(audit_pb2.GetRecordRequest(seq=0))
    assert [entry.record.type for entry in at_place.entries] == ["start"]
    for missing in ({"call_id": "c9"}, {"seq": 4}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await scene.audit.GetRecord(audit_pb2.GetRecordRequest(**missing))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"after_seq": 1}, [2, 3]),
        ({"after_seq": 0, "limit": 2}, [1, 2]),
        ({"limit": 0}, []),
        ({"types": ["intent", "denied"]}, [1, 3]),
        ({"user": "u1", "types": ["outcome"]}, [2]),
        ({"operation": "edits"}, []),
    ],
)
async def test_records_are_listed_in_order_and_filtered(
    scene: GrpcSetup, asked: dict[str, object], expected: list[int]
) -> None:
    scene.dependencies.entries = [orjson.dumps(entry) for entry in ENTRIES]
    request = audit_pb2.ListRecordsRequest(**asked)  # type: ignore[arg-type]
    found = [reply.entry.record.seq async for reply in scene.audit.ListRecords(request)]
    assert found == expected


async def test_the_checkpoint_is_the_note_as_signed(scene: GrpcSetup) -> None:
    reply = await scene.audit.GetCheckpoint(audit_pb2.GetCheckpointRequest())
    assert reply.note == b"test.log\n2\nabc=\n"
