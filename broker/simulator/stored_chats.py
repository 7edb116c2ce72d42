"""Stored chat completions: list, get, update, delete, messages.

Knows: what `store: true` kept. Must not know: how completions are made.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from broker.simulator import schemas
from broker.simulator.api_error import ApiError
from broker.simulator.listing import page
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Request
from broker.simulator.store import Store, Stored


def list_chats(request: Request, store: Store) -> Reply:
    """GET /v1/chat/completions, by `model` and `metadata[key]` where asked."""
    documents = [stored.document for stored in store.chats.values()]
    for name, value in parse_qsl(request.query):
        if name == "model":
            documents = [document for document in documents if document["model"] == value]
        elif name.startswith("metadata[") and name.endswith("]"):
            documents = [document for document in documents if _labelled(document, name[9:-1]) == value]
    return ok(page(documents, request, order="asc"))


def _labelled(document: dict[str, object], name: str) -> object:
    metadata = document["metadata"]
    return metadata.get(name) if isinstance(metadata, dict) else None


def get_chat(request: Request, store: Store) -> Reply:
    """GET /v1/chat/completions/{id}."""
    return ok(_found(request, store).document)


def update_chat(request: Request, store: Store) -> Reply:
    """POST /v1/chat/completions/{id}: its metadata."""
    stored = _found(request, store)
    schemas.chat_update(request.document, "")
    changed = stored.updated(metadata=request.document["metadata"])
    store.chats[request.arguments[0]] = changed
    return ok(changed.document)


def delete_chat(request: Request, store: Store) -> Reply:
    """DELETE /v1/chat/completions/{id}."""
    _found(request, store)
    del store.chats[request.arguments[0]]
    return ok({"object": "chat.completion.deleted", "id": request.arguments[0], "deleted": True})


def list_messages(request: Request, store: Store) -> Reply:
    """GET /v1/chat/completions/{id}/messages."""
    stored = _found(request, store)
    messages = [_message(request.arguments[0], index, sent) for index, sent in enumerate(stored.inputs)]
    return ok(page(messages, request, order="asc"))


def _message(chat_id: str, index: int, sent: dict[str, object]) -> dict[str, object]:
    content = sent.get("content")
    parts = content if isinstance(content, list) else None
    return {
        "id": f"{chat_id}-{index}",
        "role": sent["role"],
        "content": None if parts is not None else content,
        "name": sent.get("name"),
        "content_parts": parts,
    }


def _found(request: Request, store: Store) -> Stored:
    stored = store.chats.get(request.arguments[0])
    if stored is None:
        raise ApiError(404, f"Chat completion with id '{request.arguments[0]}' not found.")
    return stored
