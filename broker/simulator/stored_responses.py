"""Stored responses: get, delete, cancel, input items.

Knows: what was kept. Must not know: how responses are made.
"""

from __future__ import annotations

from broker.simulator.api_error import ApiError
from broker.simulator.listing import page
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Request
from broker.simulator.store import Store, Stored


def get_response(request: Request, store: Store) -> Reply:
    """GET /v1/responses/{id}; its `stream` parameter is not simulated."""
    return ok(_found(request, store).document)


def delete_response(request: Request, store: Store) -> Reply:
    """DELETE /v1/responses/{id}."""
    _found(request, store)
    del store.responses[request.arguments[0]]
    return ok({"id": request.arguments[0], "object": "response", "deleted": True})


def cancel_response(request: Request, store: Store) -> Reply:
    """POST /v1/responses/{id}/cancel: background responses only."""
    stored = _found(request, store)
    if stored.document["background"] is not True:
        raise ApiError(400, "Cannot cancel a synchronous response.")
    cancelled = stored.updated(status="cancelled", output=[], usage=None)
    store.responses[request.arguments[0]] = cancelled
    return ok(cancelled.document)


def list_input_items(request: Request, store: Store) -> Reply:
    """GET /v1/responses/{id}/input_items."""
    return ok(page(_found(request, store).inputs, request, order="desc"))


def _found(request: Request, store: Store) -> Stored:
    stored = store.responses.get(request.arguments[0])
    if stored is None:
        raise ApiError(404, f"Response with id '{request.arguments[0]}' not found.")
    return stored
