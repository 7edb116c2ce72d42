"""The demo's steps. Each does one thing as a user would, and raises where it did not go as expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import openai

from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc, token_pb2, token_pb2_grpc
from tests.running import RunningBroker

SECRET = "AKIAIOSFODNN7EXAMPLE"  # AWS's own documentation example


@dataclass(frozen=True)
class Shown:
    """What a step shows: a sentence, and the call or token ids whose records it should have left."""

    said: str
    call_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """A title, what is done, and the record types each call of it must have left."""

    title: str
    act: Callable[[RunningBroker], Shown]
    records: tuple[str, ...]


class UnexpectedError(AssertionError):
    """The step did not do as expected."""


def expect(holds: object, otherwise: str) -> None:
    """Raises UnexpectedError unless `holds`."""
    if not holds:
        raise UnexpectedError(otherwise)


def sdk(broker: RunningBroker, identity: str, token: str | None = None) -> openai.OpenAI:
    """The unmodified OpenAI SDK: base URL, token as api_key, client certificate."""
    client: Any = httpx.Client(verify=broker.tls(identity), timeout=30)  # its types want httpx2's
    return openai.OpenAI(
        base_url=f"{broker.https}/v1",
        api_key=token or broker.token(identity),
        http_client=client,
        max_retries=0,
    )


def channel(broker: RunningBroker, identity: str) -> grpc.Channel:
    """A gRPC channel with the identity's certificate."""
    who = broker.identities[identity]
    credentials = grpc.ssl_channel_credentials(
        broker.ca.read_bytes(), who.key.read_bytes(), who.cert.read_bytes()
    )
    return grpc.secure_channel(broker.grpc, credentials)


def user(text: str) -> Any:
    """One user message; Any, because the SDK's types want its own classes where a dict does."""
    return [{"role": "user", "content": text}]


def call_id(reply: Any) -> str:
    """The broker's call id of a raw SDK response or error response."""
    return str(reply.headers["x-broker-call-id"])


def facts(error: openai.APIStatusError) -> dict[str, str]:
    """The `error` object of the broker's answer."""
    assert isinstance(error.body, dict)
    return error.body


def issue_tokens(broker: RunningBroker) -> Shown:
    with channel(broker, "batch") as opened:
        reply, call = token_pb2_grpc.TokenServiceStub(opened).IssueToken.with_call(
            token_pb2.IssueTokenRequest(scope=["embeddings:*"]), timeout=10
        )
    over_https = broker.ask_token("assistant", "chat:gpt-4o-mini")
    expect(over_https.status_code == 200, f"HTTPS answered {over_https.status_code}")
    expect(reply.expires_in == 300, f"a life of {reply.expires_in} s")
    return Shown(
        f"gRPC: {' '.join(reply.scope)} for {reply.expires_in} s; HTTPS: {over_https.json()['scope']}",
        (str(dict(call.trailing_metadata())["x-broker-call-id"]), call_id(over_https)),
    )


def chat_over_grpc(broker: RunningBroker) -> Shown:
    request = openai_pb2.CreateChatCompletionRequest(model="gpt-4o-mini", user="alice")
    request.messages.add(role="ROLE_USER", content={"text": "Say hello."})
    with channel(broker, "assistant") as opened:
        reply, call = openai_pb2_grpc.OpenAIServiceStub(opened).CreateChatCompletion.with_call(
            request, metadata=(("authorization", f"Bearer {broker.token('assistant')}"),), timeout=10
        )
    trailers = dict(call.trailing_metadata())
    expect(reply.choices, "no choice came back")
    return Shown(
        f"{reply.choices[0].message.content.text!r}, {reply.usage.total_tokens} tokens",
        (str(trailers["x-broker-call-id"]),),
    )


def chat_over_sdk(broker: RunningBroker) -> Shown:
    raw = sdk(broker, "assistant").chat.completions.with_raw_response.create(
        model="gpt-4o",
        messages=user("What is a broker?"),
        user="alice",
    )
    reply = raw.parse()
    return Shown(f"{reply.choices[0].message.content!r}", (call_id(raw),))


def stream_over_sdk(broker: RunningBroker) -> Shown:
    with sdk(broker, "assistant").chat.completions.with_streaming_response.create(
        model="gpt-4o-mini",
        messages=user("Count to five."),
        stream=True,
        stream_options={"include_usage": True},
    ) as raw:
        chunks = list(raw.parse())
        usage = chunks[-1].usage
        expect(usage is not None and not chunks[-1].choices, "the usage chunk with no choices is missing")
        return Shown(f"{len(chunks)} events, the usage chunk last", (call_id(raw),))


def embed(broker: RunningBroker) -> Shown:
    raw = sdk(broker, "batch").embeddings.with_raw_response.create(
        model="text-embedding-3-small", input=["one", "two"]
    )
    vectors = raw.parse().data
    expect(len(vectors) == 2, f"{len(vectors)} vectors")
    return Shown(f"2 vectors of {len(vectors[0].embedding)}", (call_id(raw),))


def edit(broker: RunningBroker) -> Shown:
    body = {"model": "text-davinci-edit-001", "input": "helo wrld", "instruction": "Fix the spelling"}
    with broker.http("assistant") as client:
        reply = client.post("/v1/edits", json=body, headers=bearer(broker, "assistant"))
    expect(reply.status_code == 200 and reply.json()["object"] == "edit", reply.text)
    return Shown("the documented edits reply, performed by a chat model that policy names", (call_id(reply),))


def bearer(broker: RunningBroker, identity: str) -> dict[str, str]:
    return {"authorization": f"Bearer {broker.token(identity)}"}


def denied_by_policy(broker: RunningBroker) -> Shown:
    try:
        sdk(broker, "assistant").chat.completions.create(model="o3", messages=user("Hi"))
    except openai.PermissionDeniedError as error:
        return Shown(f"403 {error.code}: {facts(error)['message']}", (call_id(error.response),))
    raise UnexpectedError("the call was not denied")


def no_token_for_the_intruder(broker: RunningBroker) -> Shown:
    reply = broker.ask_token("intruder", "chat:gpt-4o")
    expect(reply.status_code == 403, f"answered {reply.status_code}")
    return Shown(f"403 {reply.json()['error']}: {reply.json()['error_description']}")


def secret_blocked(broker: RunningBroker) -> Shown:
    text = user(f"My key is {SECRET}, please check it.")
    try:
        sdk(broker, "assistant").chat.completions.create(model="gpt-4o", messages=text)
    except openai.BadRequestError as error:
        expect(SECRET not in error.response.text, "the error shows the secret")
        return Shown(f"400 {error.code} at {error.param}", (call_id(error.response),))
    raise UnexpectedError("the secret went through")


def stolen_token_refused(broker: RunningBroker) -> Shown:
    try:
        sdk(broker, "intruder", broker.token("assistant")).models.list()
    except openai.AuthenticationError as error:
        reason = facts(error)["reason"]
        expect(reason == "TOKEN_NOT_YOURS", str(reason))
        return Shown(f"401 {reason}: right token, other certificate")
    raise UnexpectedError("the stolen token worked")


def rate_limit_ridden_out(broker: RunningBroker) -> Shown:
    raw = sdk(broker, "assistant").chat.completions.with_raw_response.create(
        model="gpt-4o-mini",
        messages=user("Patience."),
        extra_headers={"x-sim-fault": "429-then-ok:2/retry-after-ms:300"},
    )
    expect(raw.parse().choices, "no answer")
    return Shown("two 429 from upstream, waited as Retry-After said, then answered", (call_id(raw),))


def steps() -> Iterator[Step]:
    """All steps, in order."""
    call = ("intent", "outcome")
    yield Step("tokens, over gRPC and HTTPS", issue_tokens, ("token",))
    yield Step("a chat over gRPC stubs", chat_over_grpc, call)
    yield Step("a chat over the OpenAI SDK", chat_over_sdk, call)
    yield Step("a stream over the OpenAI SDK", stream_over_sdk, call)
    yield Step("embeddings", embed, call)
    yield Step("an edit", edit, call)
    yield Step("a call that policy denies", denied_by_policy, ("denied",))
    yield Step("a token that policy denies", no_token_for_the_intruder, ())
    yield Step("a secret in the prompt", secret_blocked, ("denied",))
    yield Step("a stolen token", stolen_token_refused, ())
    yield Step("a 429 from upstream", rate_limit_ridden_out, call)
