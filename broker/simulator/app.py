"""The ASGI application: reads a request, journals it, authenticates, routes, answers.

Knows: the order of the steps. Must not know: uvicorn, or what any operation does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

from broker.simulator import api_error, overrides
from broker.simulator.api_error import ApiError
from broker.simulator.authentication import KeyAuthentication, bearer_of
from broker.simulator.delivery import Delivery, Receive, Send
from broker.simulator.faults import damaged, refuse_if_asked
from broker.simulator.federation import Provider, TokenEndpoint
from broker.simulator.organization import Organization
from broker.simulator.organization_api import OrganizationApi
from broker.simulator.overrides import Override, Overrides
from broker.simulator.reply import Reply, ok
from broker.simulator.request import ReceivedRequest, Request, document_of
from broker.simulator.request_log import KEY_TAIL, RequestLog, entry_of
from broker.simulator.routes import OPERATIONS
from broker.simulator.scopes import needed
from broker.simulator.store import Store


class SimulatedOpenAI:
    """Answers `/v1/*` as OpenAI does, to whoever has one of `keys` or a key or token of the organization;
    `open_replies` are under way.
    """

    def __init__(
        self, keys: Sequence[str], organization: Organization, providers: Sequence[Provider]
    ) -> None:
        self.request_log = RequestLog()
        self.store = Store()
        self.open_replies = 0
        self._authentication = KeyAuthentication(keys, organization)
        tokens = TokenEndpoint(organization, providers)
        self._administration = OrganizationApi(organization, tokens, self._authentication, self.store)
        self._key_overrides: dict[str, str] = {}

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        started = time.monotonic()
        received = await _received(scope, receive)
        if received.path.startswith("/sim/"):
            reply, wanted = self._control(received), overrides.NO_OVERRIDES
        elif self._administration.answers(received.path):
            reply, wanted = self._administration.answer(received)
        else:
            self.request_log.add(entry_of(received))
            reply, wanted = self._answer(received)
        connection = scope["state"]["connection"]
        self.open_replies += 1
        try:
            await Delivery(receive, send, connection, wanted, received.request_id, started).deliver(reply)
        finally:
            self.open_replies -= 1

    def _answer(self, received: ReceivedRequest) -> tuple[Reply, Overrides]:
        wanted = overrides.NO_OVERRIDES
        try:
            rights = self._authentication.rights(received.headers)
            match = OPERATIONS.match(received.method, received.path)
            rights.require(needed(received.method, received.path))
            document = document_of(received)
            key = bearer_of(received.headers)
            wanted = _overrides(received.headers, document, self._key_overrides.get(key[-KEY_TAIL:], ""))
            refuse_if_asked(wanted, self.store, _attempt_key(received), key)
            request = Request(
                document=document,
                body=received.body,
                digest=received.digest,
                query=received.query,
                overrides=wanted,
                request_id=received.request_id,
                arguments=match.arguments,
            )
            return damaged(match.run(request, self.store), wanted), wanted
        except ApiError as error:
            return error.reply(), wanted

    def _control(self, received: ReceivedRequest) -> Reply:
        match received.method, received.path:
            case "GET", "/sim/received":
                counts: dict[str, object] = {
                    "count": self.request_log.count,
                    "open_replies": self.open_replies,
                }
                if received.query == "entries=0":
                    return ok(counts)
                return ok(counts | {"entries": [entry.as_document() for entry in self.request_log.entries]})
            case "POST", "/sim/keys":
                return self._trouble(received)
            case "GET", "/sim/organization":
                return ok(self._administration.shown())
            case "POST", "/sim/reset":
                self.reset()
                return ok({"count": 0})
        return api_error.unknown_url(received.method, received.path).reply()

    def trouble(self, last4: str, specification: str) -> None:
        """From now on every request with the key of these last four characters has these overrides, before
        its own. Raises ApiError for an unknown override.
        """
        overrides.parse(specification)
        self._key_overrides[last4] = specification

    def _trouble(self, received: ReceivedRequest) -> Reply:
        try:
            document = document_of(received)
            self.trouble(str(document.get("last4", "")), str(document.get("knobs", "")))
        except ApiError as error:
            return error.reply()
        return ok({"keys": self._key_overrides})

    def reset(self) -> None:
        """Forgets what was received, what was stored, every attempt and every key's overrides."""
        self._key_overrides.clear()
        self.request_log.clear()
        self.store.clear()


async def _received(scope: Mapping[str, Any], receive: Receive) -> ReceivedRequest:
    arrived_ns = time.time_ns()
    body = await _read(receive)
    return ReceivedRequest(
        time_ns=arrived_ns,
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=dict(scope["headers"]),
        body=body,
        digest=sha256(body).hexdigest(),
        request_id="req_" + uuid4().hex,
    )


async def _read(receive: Receive) -> bytes:
    """The whole body, or as much as arrived before the caller went away."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _overrides(headers: Mapping[bytes, bytes], document: Mapping[str, object], of_key: str) -> Overrides:
    """The key's overrides, the header's, the model's, then the two short headers; of one override the last
    counts.
    """
    items = [of_key, headers.get(b"x-sim-fault", b"").decode("latin-1")]
    model = document.get("model")
    if isinstance(model, str) and "sim-" in model:
        items.append(overrides.split_model(model)[1])
    if b"x-sim-words" in headers:
        items.append(f"{Override.WORDS}:{headers[b'x-sim-words'].decode('latin-1')}")
    if headers.get(b"x-sim-timestamps") == b"1":
        items.append(Override.TIMESTAMPS)
    return overrides.parse("/".join(filter(None, items)))


def _attempt_key(received: ReceivedRequest) -> str:
    named = received.headers.get(b"idempotency-key")
    if named is not None:
        return "named " + named.decode("latin-1")
    return f"{received.method} {received.path} {received.digest}"
