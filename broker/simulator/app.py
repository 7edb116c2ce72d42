"""The ASGI application: reads a request, journals it, authenticates, routes, answers.

Knows: the order of the steps. Must not know: uvicorn, or what any operation does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

from broker.simulator import api_error, knobs
from broker.simulator.administration import Administration
from broker.simulator.admittance import Admittance, bearer_of
from broker.simulator.api_error import ApiError
from broker.simulator.delivery import Delivery, Receive, Send
from broker.simulator.faults import damaged, refuse_if_asked
from broker.simulator.federation import Provider, TokenEndpoint
from broker.simulator.journal import KEY_TAIL, Journal, entry_of
from broker.simulator.knobs import Knob, Knobs
from broker.simulator.organization import Organization
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Arrival, Request, document_of
from broker.simulator.routes import OPERATIONS
from broker.simulator.scopes import needed
from broker.simulator.shelf import Shelf


class SimulatedOpenAI:
    """Answers `/v1/*` as OpenAI does, to whoever has one of `keys` or a key or token of the organization;
    `open_replies` are under way.
    """

    def __init__(
        self, keys: Sequence[str], organization: Organization, providers: Sequence[Provider]
    ) -> None:
        self.journal = Journal()
        self.shelf = Shelf()
        self.open_replies = 0
        self._admittance = Admittance(keys, organization)
        tokens = TokenEndpoint(organization, providers)
        self._administration = Administration(organization, tokens, self._admittance, self.shelf)
        self._key_knobs: dict[str, str] = {}

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        started = time.monotonic()
        arrival = await _arrival(scope, receive)
        if arrival.path.startswith("/sim/"):
            reply, wanted = self._control(arrival), knobs.NO_KNOBS
        elif self._administration.answers(arrival.path):
            reply, wanted = self._administration.answer(arrival)
        else:
            self.journal.add(entry_of(arrival))
            reply, wanted = self._answer(arrival)
        connection = scope["state"]["connection"]
        self.open_replies += 1
        try:
            await Delivery(receive, send, connection, wanted, arrival.request_id, started).deliver(reply)
        finally:
            self.open_replies -= 1

    def _answer(self, arrival: Arrival) -> tuple[Reply, Knobs]:
        wanted = knobs.NO_KNOBS
        try:
            rights = self._admittance.rights(arrival.headers)
            match = OPERATIONS.match(arrival.method, arrival.path)
            rights.require(needed(arrival.method, arrival.path))
            document = document_of(arrival)
            key = bearer_of(arrival.headers)
            wanted = _knobs(arrival.headers, document, self._key_knobs.get(key[-KEY_TAIL:], ""))
            refuse_if_asked(wanted, self.shelf, _attempt_key(arrival), key)
            request = Request(
                document=document,
                body=arrival.body,
                digest=arrival.digest,
                query=arrival.query,
                knobs=wanted,
                request_id=arrival.request_id,
                arguments=match.arguments,
            )
            return damaged(match.run(request, self.shelf), wanted), wanted
        except ApiError as error:
            return error.reply(), wanted

    def _control(self, arrival: Arrival) -> Reply:
        match arrival.method, arrival.path:
            case "GET", "/sim/received":
                counts: dict[str, object] = {"count": self.journal.count, "open_replies": self.open_replies}
                if arrival.query == "entries=0":
                    return ok(counts)
                return ok(counts | {"entries": [entry.as_document() for entry in self.journal.entries]})
            case "POST", "/sim/keys":
                return self._trouble(arrival)
            case "GET", "/sim/organization":
                return ok(self._administration.shown())
            case "POST", "/sim/reset":
                self.reset()
                return ok({"count": 0})
        return api_error.unknown_url(arrival.method, arrival.path).reply()

    def trouble(self, last4: str, specification: str) -> None:
        """From now on every request with the key of these last four characters has these knobs, before its
        own. Raises ApiError for an unknown knob.
        """
        knobs.parse(specification)
        self._key_knobs[last4] = specification

    def _trouble(self, arrival: Arrival) -> Reply:
        try:
            document = document_of(arrival)
            self.trouble(str(document.get("last4", "")), str(document.get("knobs", "")))
        except ApiError as error:
            return error.reply()
        return ok({"keys": self._key_knobs})

    def reset(self) -> None:
        """Forgets what was received, what was stored, every attempt and every key's knobs."""
        self._key_knobs.clear()
        self.journal.clear()
        self.shelf.clear()


async def _arrival(scope: Mapping[str, Any], receive: Receive) -> Arrival:
    arrived_ns = time.time_ns()
    body = await _read(receive)
    return Arrival(
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


def _knobs(headers: Mapping[bytes, bytes], document: Mapping[str, object], of_key: str) -> Knobs:
    """The key's knobs, the header's, the model's, then the two short headers; of one knob the last counts."""
    items = [of_key, headers.get(b"x-sim-fault", b"").decode("latin-1")]
    model = document.get("model")
    if isinstance(model, str) and "sim-" in model:
        items.append(knobs.split_model(model)[1])
    if b"x-sim-words" in headers:
        items.append(f"{Knob.WORDS}:{headers[b'x-sim-words'].decode('latin-1')}")
    if headers.get(b"x-sim-timestamps") == b"1":
        items.append(Knob.TIMESTAMPS)
    return knobs.parse("/".join(filter(None, items)))


def _attempt_key(arrival: Arrival) -> str:
    named = arrival.headers.get(b"idempotency-key")
    if named is not None:
        return "named " + named.decode("latin-1")
    return f"{arrival.method} {arrival.path} {arrival.digest}"
