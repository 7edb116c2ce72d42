"""Tokens end to end: issued at both listeners, bound to a certificate, narrowed, expired, revoked,
recorded.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import grpc
import httpx
import jwt
import pytest

from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc, token_pb2, token_pb2_grpc
from tests import plain
from tests.e2e.raw import assert_unwritten, channel, nothing_reaches_upstream, records, refusal, token_records
from tests.running import RunningBroker

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def claims(token: str) -> dict[str, Any]:
    """What a token says, its signature unchecked."""
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return said


def issue(broker: RunningBroker, identity: str, scope: str = "", **fields: str) -> str:
    """A token of its own, never a cached one."""
    reply = broker.ask_token(identity, scope, **fields)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access_token"])


def call(
    broker: RunningBroker, identity: str, token: str, path: str = "/v1/chat/completions", **body: object
) -> httpx.Response:
    """A call over HTTPS with this certificate and this token; a GET where there is no body."""
    with broker.http(identity) as client:
        headers = {"authorization": f"Bearer {token}"}
        return client.post(path, json=body, headers=headers) if body else client.get(path, headers=headers)


def reason(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["reason"]


def form(broker: RunningBroker, identity: str, path: str, **fields: str) -> httpx.Response:
    with broker.http(identity) as client:
        return client.post(path, data=fields)


def list_models(opened: grpc.Channel, token: str) -> openai_pb2.ListModelsResponse:
    metadata = (("authorization", f"Bearer {token}"),)
    return openai_pb2_grpc.OpenAIServiceStub(opened).ListModels(
        openai_pb2.ListModelsRequest(), metadata=metadata, timeout=10
    )


def test_token_over_https_says_what_it_grants_and_works(broker: RunningBroker) -> None:
    reply = broker.ask_token("assistant", "chat:gpt-4o models")
    said = reply.json()
    assert (said["token_type"], said["expires_in"], said["scope"]) == ("Bearer", 300, "chat:gpt-4o models")
    assert reply.headers["cache-control"] == "no-store"
    assert call(broker, "assistant", said["access_token"], **CHAT).status_code == 200


def test_token_over_grpc_works_at_both_listeners(broker: RunningBroker) -> None:
    with channel(broker, "assistant") as opened:
        wish = token_pb2.IssueTokenRequest(scope=["models", "chat:gpt-4o"], ttl_seconds=60)
        issued, rpc = token_pb2_grpc.TokenServiceStub(opened).IssueToken.with_call(wish, timeout=10)
        assert (issued.expires_in, sorted(issued.scope)) == (60, ["chat:gpt-4o", "models"])
        assert ("cache-control", "no-store") in [tuple(pair) for pair in rpc.trailing_metadata()]
        assert list_models(opened, issued.token).data
    assert call(broker, "assistant", issued.token, **CHAT).status_code == 200


def test_token_is_recorded_before_it_can_be_used(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o")
    (record,) = token_records(broker, claims(token)["jti"])
    assert (record["type"], record["decision"], record["scope"]) == ("token", "allow", "chat:gpt-4o")
    assert record["subject"] == broker.identities["assistant"].spiffe_id
    used = call(broker, "assistant", token, **CHAT)
    types = [record["type"] for record in token_records(broker, claims(token)["jti"])]
    assert (used.status_code, types) == (200, ["token", "intent", "outcome"])
    assert_unwritten(broker, token)
    assert_unwritten(broker, token.rpartition(".")[2])


@pytest.mark.parametrize("thief", ["intruder", "batch", "operator"])
def test_stolen_token_with_another_certificate_is_refused(broker: RunningBroker, thief: str) -> None:
    token = broker.token("assistant")
    with nothing_reaches_upstream(broker):
        reply = call(broker, thief, token, **CHAT)
        with channel(broker, thief) as opened, pytest.raises(grpc.RpcError) as caught:
            list_models(opened, token)
    assert reason(reply) == (401, "TOKEN_NOT_YOURS")
    assert records(broker, reply.headers["x-broker-call-id"]) == []
    answer = refusal(caught.value)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_NOT_YOURS")


def test_stolen_token_without_a_certificate_is_refused(broker: RunningBroker) -> None:
    with broker.http(None) as client, nothing_reaches_upstream(broker):
        headers = {"authorization": f"Bearer {broker.token('assistant')}"}
        assert reason(client.post("/v1/chat/completions", json=CHAT, headers=headers)) == (
            401,
            "CERTIFICATE_INVALID",
        )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        lambda token: token + "=",
        lambda token: token.replace(".", "..", 1),
        lambda token: token.partition(".")[2],
        lambda token: token[:1] * 5000,
        lambda token: jwt.encode(claims(token), "k" * 32, algorithm="HS256", headers={"typ": "at+jwt"}),
        lambda token: jwt.encode(claims(token), "", algorithm="none", headers={"typ": "at+jwt"}),
    ],
    ids=["signature", "padding", "empty part", "no header", "5,000 characters", "HS256", "none"],
)
def test_forged_token_is_refused(broker: RunningBroker, spoil: Any) -> None:
    with nothing_reaches_upstream(broker):
        reply = call(broker, "assistant", spoil(broker.token("assistant")), **CHAT)
    assert reason(reply) == (401, "TOKEN_INVALID")
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


def test_scope_narrows_below_what_policy_grants(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o-mini")
    allowed = call(broker, "assistant", token, **{**CHAT, "model": "gpt-4o-mini"})
    with nothing_reaches_upstream(broker):
        other_model = call(broker, "assistant", token, **CHAT)
        other_operation = call(broker, "assistant", token, "/v1/models")
    assert allowed.status_code == 200
    assert reason(other_model) == (403, "POLICY_DENIED") == reason(other_operation)
    (record,) = records(broker, other_model.headers["x-broker-call-id"])
    assert (record["type"], record["rule"]) == ("denied", "token.scope")
    assert "Allowed would be: model: gpt-4o-mini." in other_model.text


def test_scope_wider_than_the_grant_comes_back_narrower(broker: RunningBroker) -> None:
    reply = broker.ask_token("assistant", "chat:* embeddings:*")
    assert reply.json()["scope"].split() == [
        "chat:gpt-4o",
        "chat:gpt-4o-mini",
        "embeddings:text-embedding-3-large",
        "embeddings:text-embedding-3-small",
    ]


@pytest.mark.parametrize("scope", ["responses.delete", "chat:o3", "token.revoke", "audit.read"])
def test_scope_outside_the_grant_is_denied_and_recorded(broker: RunningBroker, scope: str) -> None:
    reply = broker.ask_token("assistant", scope)
    assert (reply.status_code, reply.json()["error"]) == (403, "invalid_scope")


def test_intruder_gets_no_token(broker: RunningBroker) -> None:
    reply = broker.ask_token("intruder")
    assert (reply.status_code, reply.json()["reason"]) == (403, "POLICY_DENIED")
    with channel(broker, "intruder") as opened, pytest.raises(grpc.RpcError) as caught:
        token_pb2_grpc.TokenServiceStub(opened).IssueToken(token_pb2.IssueTokenRequest(), timeout=10)
    assert refusal(caught.value).code is grpc.StatusCode.PERMISSION_DENIED
    (record,) = records(broker, refusal(caught.value).trailers["x-broker-call-id"])
    assert (record["type"], record["decision"], record["operation"]) == ("denied", "deny", "token.issue")
    assert record["subject"] == broker.identities["intruder"].spiffe_id


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"scope": "fly:gpt-4o"}, "invalid_scope"),
        ({"scope": 'chat:"gpt-4o"'}, "invalid_scope"),
        ({"scope": "chat:" + "x" * 200}, "invalid_scope"),
        ({"scope": " ".join(f"chat:m{i}" for i in range(65))}, "invalid_scope"),
        ({"audience": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"ttl": "-1"}, "invalid_request"),
        ({"ttl": "1e3"}, "invalid_request"),
        ({"max_tokens": "many"}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
    ids=lambda value: "".join(value)[:20],
)
def test_malformed_wish_is_refused_by_name(broker: RunningBroker, fields: dict[str, str], error: str) -> None:
    reply = form(broker, "assistant", "/oauth/token", **{"grant_type": "client_credentials", **fields})
    assert (reply.status_code, reply.json()["error"]) == (400, error)
    assert "elsewhere.example" not in reply.text


def test_field_that_came_twice_is_refused(broker: RunningBroker) -> None:
    with broker.http("assistant") as client:
        body = "grant_type=client_credentials&scope=chat&scope=models"
        reply = client.post(
            "/oauth/token", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
        )
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


def test_expired_token_is_refused(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o", ttl="1")
    time.sleep(max(0.0, claims(token)["exp"] - time.time()) + 0.05)
    with nothing_reaches_upstream(broker):
        reply = call(broker, "assistant", token, **CHAT)
    assert reason(reply) == (401, "TOKEN_EXPIRED")


def test_life_is_cut_to_the_ceiling(broker: RunningBroker) -> None:
    assert broker.ask_token("assistant", ttl="999999").json()["expires_in"] == 3600


@pytest.mark.parametrize("by", ["assistant", "operator"])
def test_revoked_token_is_refused(broker: RunningBroker, by: str) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o")
    assert call(broker, "assistant", token, **CHAT).status_code == 200
    assert form(broker, by, "/oauth/revoke", token=token).status_code == 200
    with nothing_reaches_upstream(broker):
        reply = call(broker, "assistant", token, **CHAT)
    assert reason(reply) == (401, "TOKEN_REVOKED")
    revoked = [r for r in token_records(broker, claims(token)["jti"]) if r["type"] == "revoked"]
    assert [record["subject"] for record in revoked] == [broker.identities[by].spiffe_id]


@pytest.mark.parametrize("by", ["intruder", "batch", "auditor"])
def test_stranger_cannot_revoke_a_token(broker: RunningBroker, by: str) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o")
    reply = form(broker, by, "/oauth/revoke", token=token)
    assert (reply.status_code, reply.json()["reason"]) == (403, "POLICY_DENIED")
    (record,) = records(broker, reply.headers["x-broker-call-id"])
    assert (record["type"], record["operation"]) == ("denied", "token.revoke")
    assert call(broker, "assistant", token, **CHAT).status_code == 200


def test_revocation_over_grpc_cuts_the_https_listener_too(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o models")
    with channel(broker, "operator") as opened:
        token_pb2_grpc.TokenServiceStub(opened).RevokeToken(
            token_pb2.RevokeTokenRequest(token=token), timeout=10
        )
    assert reason(call(broker, "assistant", token, **CHAT)) == (401, "TOKEN_REVOKED")
    with channel(broker, "assistant") as opened, pytest.raises(grpc.RpcError) as caught:
        list_models(opened, token)
    assert refusal(caught.value).reason == "TOKEN_REVOKED"


def test_only_the_operator_introspects(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o", user="alice")
    said = form(broker, "operator", "/oauth/introspect", token=token).json()
    assert (said["active"], said["scope"], said["username"]) == (True, "chat:gpt-4o", "alice")
    assert (said["sub"], said["cnf"]) == (broker.identities["assistant"].spiffe_id, claims(token)["cnf"])
    for other in ("assistant", "auditor", "intruder"):
        reply = form(broker, other, "/oauth/introspect", token=token)
        assert (reply.status_code, reply.json()["reason"]) == (403, "POLICY_DENIED")
        (record,) = records(broker, reply.headers["x-broker-call-id"])
        assert (record["type"], record["operation"]) == ("denied", "token.introspect")


def test_introspection_tells_nothing_of_a_dead_token(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o")
    form(broker, "assistant", "/oauth/revoke", token=token)
    assert form(broker, "operator", "/oauth/introspect", token=token).json() == {"active": False}
    assert form(broker, "operator", "/oauth/introspect", token="not.a.token").json() == {"active": False}


def test_token_bound_to_a_user_acts_for_no_other(broker: RunningBroker) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o", user="alice")
    silent = call(broker, "assistant", token, **CHAT)
    same = call(broker, "assistant", token, **CHAT, user="alice")
    with nothing_reaches_upstream(broker):
        other = call(broker, "assistant", token, **CHAT, user="bob")
        hidden = call(broker, "assistant", token, **CHAT, safety_identifier="bob")
    assert [silent.status_code, same.status_code] == [200, 200]
    assert reason(other) == (403, "POLICY_DENIED") == reason(hidden)
    assert {record["user"] for record in records(broker, silent.headers["x-broker-call-id"])} == {"alice"}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_token_ceiling_holds_on_every_call(broker: RunningBroker, name: str) -> None:
    token = issue(broker, "assistant", "chat:gpt-4o", max_tokens="50")
    silent = call(broker, "assistant", token, **CHAT)
    below = call(broker, "assistant", token, **{**CHAT, name: 50})
    with nothing_reaches_upstream(broker):
        above = call(broker, "assistant", token, **{**CHAT, name: 51})
    assert [silent.status_code, below.status_code] == [200, 200]
    assert reason(above) == (403, "POLICY_DENIED")
    assert above.json()["error"]["param"] == name


def test_key_set_verifies_a_token_with_a_foreign_library(broker: RunningBroker) -> None:
    with broker.http(None) as client:
        (key,) = client.get("/.well-known/jwks.json").json()["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    assert "d" not in key
    token = broker.token("assistant")
    said = jwt.decode(
        token,
        jwt.PyJWK(key),
        algorithms=["EdDSA"],
        audience=claims(token)["aud"],
        issuer=claims(token)["iss"],
    )
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"]}
    assert said["sub"] == broker.identities["assistant"].spiffe_id


def test_metadata_names_the_endpoints(broker: RunningBroker) -> None:
    with broker.http(None) as client:
        said = client.get("/.well-known/oauth-authorization-server").json()
    assert said["token_endpoint"] == f"{broker.https}/oauth/token"
    assert said["introspection_endpoint"] == f"{broker.https}/oauth/introspect"
    assert said["revocation_endpoint"] == f"{broker.https}/oauth/revoke"
    assert said["jwks_uri"] == f"{broker.https}/.well-known/jwks.json"
    assert said["tls_client_certificate_bound_access_tokens"] is True
    assert claims(broker.token("assistant"))["iss"] == said["issuer"]


def test_curl_with_a_certificate_gets_a_token_and_uses_it(broker: RunningBroker) -> None:
    who = broker.identities["assistant"]
    curl = [
        "curl",
        "-sS",
        "--fail-with-body",
        "--cacert",
        str(broker.ca),
        "--cert",
        str(who.cert),
        "--key",
        str(who.key),
    ]
    ask = [*curl, "-d", "grant_type=client_credentials", "-d", "scope=models", f"{broker.https}/oauth/token"]
    token = json.loads(subprocess.run(ask, capture_output=True, check=True).stdout)["access_token"]
    get = [*curl, "-H", f"authorization: Bearer {token}", f"{broker.https}/v1/models"]
    listed = json.loads(subprocess.run(get, capture_output=True, check=True).stdout)
    assert "gpt-4o" in [model["id"] for model in listed["data"]]


@pytest.mark.parametrize("stars", [4, 40])
def test_a_token_for_a_pattern_of_many_stars_is_refused_at_once(broker: RunningBroker, stars: int) -> None:
    """Issue 12, A.1: 40 stars hung both listeners for good."""
    asked = {"grant_type": "client_credentials", "scope": "edits:" + "a*" * stars + "b"}
    reply = form(broker, "assistant", "/oauth/token", **asked)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_scope")
    wish = token_pb2.IssueTokenRequest(scope=[asked["scope"]])
    with channel(broker, "assistant") as opened:
        stub = token_pb2_grpc.TokenServiceStub(opened)
        with pytest.raises(grpc.RpcError) as caught:
            stub.IssueToken(wish, timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert plain.get(f"{broker.console}/metrics", timeout=1).status_code == 200


def test_a_form_of_sixteen_mebibytes_is_refused(broker: RunningBroker) -> None:
    reply = form(broker, "assistant", "/oauth/token", scope="%41" * 100_000)
    assert reply.status_code == 400
