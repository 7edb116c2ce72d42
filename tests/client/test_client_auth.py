"""BrokerAuth, the ready-made SDK clients and `issue_token`, over real mTLS."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import pytest

from broker.client import (
    BrokerAuth,
    Credentials,
    TokenRequest,
    async_openai_client,
    issue_token,
    openai_client,
)
from broker.client.httpx2_auth import Httpx2BrokerAuth
from broker.client.token import TokenCache
from broker.errors import BrokerError, Kind
from tests.client.endpoint import Endpoint
from tests.client.pki import Authority


def client(endpoint: Endpoint, credentials: Credentials) -> httpx.Client:
    auth = BrokerAuth(endpoint.url, TokenRequest(scope="chat:gpt-4o", user="ada"))
    return httpx.Client(auth=auth, verify=credentials.ssl_context(), trust_env=False)


def test_one_token_serves_many_calls(endpoint: Endpoint, credentials: Credentials) -> None:
    with client(endpoint, credentials) as http:
        for _ in range(3):
            assert http.get(endpoint.url + "/v1/models").status_code == 200
    assert endpoint.forms == [{"grant_type": "client_credentials", "scope": "chat:gpt-4o", "user": "ada"}]
    assert {bearer for _, bearer in endpoint.calls} == {"Bearer token-1"}


def test_a_client_of_httpx2_gets_its_token(endpoint: Endpoint, credentials: Credentials) -> None:
    auth = Httpx2BrokerAuth(endpoint.url, TokenRequest(scope="chat:gpt-4o", user="ada"))
    endpoint.expired = {"Bearer token-1"}
    with httpx2.Client(auth=auth, verify=credentials.ssl_context(), trust_env=False) as http:
        for _ in range(3):
            assert http.post(endpoint.url + "/v1/x", content=b"body").status_code == 200
    assert [form["scope"] for form in endpoint.forms] == ["chat:gpt-4o"] * 2
    assert {bearer for _, bearer in endpoint.calls} == {"Bearer token-1", "Bearer token-2"}


async def test_an_async_client_of_httpx2_gets_its_token(endpoint: Endpoint, credentials: Credentials) -> None:
    auth = Httpx2BrokerAuth(endpoint.url)
    async with httpx2.AsyncClient(auth=auth, verify=credentials.ssl_context(), trust_env=False) as http:
        replies = await asyncio.gather(*(http.get(endpoint.url + "/v1/models") for _ in range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(endpoint.forms) == 1


def test_threads_ask_once(endpoint: Endpoint, credentials: Credentials) -> None:
    with client(endpoint, credentials) as http, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: http.get(endpoint.url + "/v1/models"), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(endpoint.forms) == 1


async def test_tasks_ask_once(endpoint: Endpoint, credentials: Credentials) -> None:
    auth = BrokerAuth(endpoint.url)
    async with httpx.AsyncClient(auth=auth, verify=credentials.ssl_context(), trust_env=False) as http:
        replies = await asyncio.gather(*(http.get(endpoint.url + "/v1/models") for _ in range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(endpoint.forms) == 1


def test_expired_token_is_renewed_and_the_call_repeated_once(
    endpoint: Endpoint, credentials: Credentials
) -> None:
    endpoint.expired = {"Bearer token-1"}
    with client(endpoint, credentials) as http:
        assert http.post(endpoint.url + "/v1/x", content=b"body").status_code == 200
    assert [bearer for _, bearer in endpoint.calls] == ["Bearer token-1", "Bearer token-2"]
    assert endpoint.bodies == [b"body", b"body"]


async def test_token_that_stays_expired_is_not_asked_for_forever(
    endpoint: Endpoint, credentials: Credentials
) -> None:
    endpoint.expired = {f"Bearer token-{number}" for number in range(10)}
    auth = BrokerAuth(endpoint.url)
    async with httpx.AsyncClient(auth=auth, verify=credentials.ssl_context(), trust_env=False) as http:
        assert (await http.get(endpoint.url + "/v1/x")).status_code == 401
    assert len(endpoint.calls) == 2


def test_denial_is_the_brokers_own_error(endpoint: Endpoint, credentials: Credentials) -> None:
    endpoint.refuse_tokens = True
    with client(endpoint, credentials) as http, pytest.raises(BrokerError) as caught:
        http.get(endpoint.url + "/v1/models")
    assert caught.value.kind is Kind.POLICY_DENIED
    assert str(caught.value) == "No token: nothing is granted. Ask for less."
    assert caught.value.rule == "default"
    assert endpoint.calls == []


def test_token_is_not_sent_to_another_host(endpoint: Endpoint, credentials: Credentials) -> None:
    with client(endpoint, credentials) as http, pytest.raises(BrokerError, match="another host"):
        http.get(endpoint.url.replace("127.0.0.1", "localhost") + "/v1/models")
    assert not endpoint.forms
    assert not endpoint.calls


def test_client_without_certificate_gets_no_token(endpoint: Endpoint, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    auth = BrokerAuth(endpoint.url)
    with httpx.Client(auth=auth, verify=context) as http, pytest.raises(httpx.TransportError):
        http.get(endpoint.url + "/v1/models")
    assert endpoint.forms == []


def test_server_of_another_authority_gets_nothing(
    endpoint: Endpoint, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"))
    leaf = authority.leaf("trusting")
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        issue_token(endpoint.url, Credentials(leaf.cert, leaf.key, other.ca))
    assert endpoint.forms == []


def test_issue_token_asks_for_everything_it_was_told(endpoint: Endpoint, credentials: Credentials) -> None:
    wish = TokenRequest(scope="chat", user="ada", ttl=60, max_tokens=100, audience="broker")
    token = issue_token(endpoint.url, credentials, wish)
    assert (token.value, token.expires_in, token.scope) == ("token-1", 300, "chat")
    assert endpoint.forms[0] == wish.form()
    assert wish.form()["ttl"] == "60"


def test_token_is_not_in_any_repr(endpoint: Endpoint, credentials: Credentials) -> None:
    token = issue_token(endpoint.url, credentials)
    assert token.value not in repr(token)
    assert str(credentials.key) not in repr(credentials)


def test_sdk_calls_with_the_token(endpoint: Endpoint, credentials: Credentials) -> None:
    with openai_client(endpoint.url, credentials, TokenRequest(scope="chat"), max_retries=0) as sdk:
        reply = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert reply.choices[0].message.content == "Hello, you"
    assert endpoint.calls == [("/v1/chat/completions", "Bearer token-1")]


async def test_async_sdk_streams_with_the_token(endpoint: Endpoint, credentials: Credentials) -> None:
    endpoint.expired = {"Bearer token-1"}
    async with async_openai_client(endpoint.url, credentials, max_retries=0) as sdk:
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(words) == "Hello, you"
    assert endpoint.calls[-1] == ("/v1/chat/completions", "Bearer token-2")


def test_token_is_fresh_for_two_thirds_of_its_life() -> None:
    now = 1000.0
    cache = TokenCache("https://broker", TokenRequest(), now=lambda: now)
    assert cache.fresh() is None
    body = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "chat"}
    token = cache.accept(httpx.Response(200, json=body))
    now = 1199.0
    assert cache.fresh() is token
    now = 1201.0
    assert cache.fresh() is None
    assert cache.bearer == "Bearer t"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"access_token": 7}),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(502, text="Bad Gateway"),
    ],
)
def test_reply_of_something_else_is_refused(response: httpx.Response) -> None:
    cache = TokenCache("https://broker", TokenRequest())
    with pytest.raises(BrokerError, match="Check that the URL is the broker's"):
        cache.accept(response)
    assert cache.fresh() is None
