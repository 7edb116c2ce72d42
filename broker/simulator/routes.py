"""Which operation answers which method and path.

Knows: the table. Must not know: what any operation does. What it does not name is OpenAI's 404: so is
`/v1/edits`, which OpenAI has retired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from broker.simulator import (
    chat,
    completions,
    embeddings,
    models,
    moderations,
    responses,
    stored_chats,
    stored_responses,
)
from broker.simulator.api_error import unknown_url, wrong_method
from broker.simulator.reply import Reply
from broker.simulator.request import Request
from broker.simulator.shelf import Shelf

Operation = Callable[[Request, Shelf], Reply]
_HOLE = "{}"

_TABLE: dict[tuple[str, str], Operation] = {
    ("POST", "/v1/chat/completions"): chat.create,
    ("GET", "/v1/chat/completions"): stored_chats.list_chats,
    ("GET", "/v1/chat/completions/{}"): stored_chats.get_chat,
    ("POST", "/v1/chat/completions/{}"): stored_chats.update_chat,
    ("DELETE", "/v1/chat/completions/{}"): stored_chats.delete_chat,
    ("GET", "/v1/chat/completions/{}/messages"): stored_chats.list_messages,
    ("POST", "/v1/completions"): completions.create,
    ("POST", "/v1/embeddings"): embeddings.create,
    ("POST", "/v1/moderations"): moderations.create,
    ("POST", "/v1/responses"): responses.create,
    ("POST", "/v1/responses/input_tokens"): responses.count_input,
    ("GET", "/v1/responses/{}"): stored_responses.get_response,
    ("DELETE", "/v1/responses/{}"): stored_responses.delete_response,
    ("POST", "/v1/responses/{}/cancel"): stored_responses.cancel_response,
    ("GET", "/v1/responses/{}/input_items"): stored_responses.list_input_items,
    ("GET", "/v1/models"): models.list_models,
    ("GET", "/v1/models/{}"): models.get_model,
    ("DELETE", "/v1/models/{}"): models.delete_model,
}
_PATTERNS = [(tuple(path.split("/")), method, run) for (method, path), run in _TABLE.items() if _HOLE in path]


@dataclass(frozen=True, slots=True)
class Match:
    """An operation and what its path's holes held, percent-decoded."""

    run: Operation
    arguments: tuple[str, ...]


def match(method: str, path: str) -> Match:
    """Finds the operation of a raw path. Raises ApiError 404, or 405 where only the method is wrong."""
    exact = _TABLE.get((method, path))
    if exact is not None and _HOLE not in path:
        return Match(exact, ())
    segments = path.split("/")
    methods: set[str] = {allowed for allowed, known in _TABLE if known == path}
    for pattern, allowed, run in _PATTERNS:
        arguments = _holes(pattern, segments)
        if arguments is not None:
            if allowed == method:
                return Match(run, arguments)
            methods.add(allowed)
    raise wrong_method(method, path) if methods else unknown_url(method, path)


def _holes(pattern: tuple[str, ...], segments: list[str]) -> tuple[str, ...] | None:
    if len(pattern) != len(segments):
        return None
    holes: list[str] = []
    for expected, segment in zip(pattern, segments, strict=True):
        if expected == _HOLE and segment:
            holes.append(unquote(segment))
        elif expected != segment:
            return None
    return tuple(holes)
