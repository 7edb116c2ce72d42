"""Which operation answers which method and path.

Knows: the table. Must not know: what any operation does. What it does not name is OpenAI's 404: so is
`/v1/edits`, which OpenAI has retired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
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
from broker.simulator.store import Store

Operation = Callable[[Request, Store], Reply]
Run = TypeVar("Run")
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
    ("POST", "/v1/responses/compact"): responses.compact,
    ("GET", "/v1/responses/{}"): stored_responses.get_response,
    ("DELETE", "/v1/responses/{}"): stored_responses.delete_response,
    ("POST", "/v1/responses/{}/cancel"): stored_responses.cancel_response,
    ("GET", "/v1/responses/{}/input_items"): stored_responses.list_input_items,
    ("GET", "/v1/models"): models.list_models,
    ("GET", "/v1/models/{}"): models.get_model,
    ("DELETE", "/v1/models/{}"): models.delete_model,
}


@dataclass(frozen=True, slots=True)
class Match(Generic[Run]):
    """An operation and what its path's holes held, percent-decoded."""

    run: Run
    arguments: tuple[str, ...]


class Routes(Generic[Run]):
    """A table of (method, path with `{}` for each hole) and what answers there."""

    def __init__(self, table: Mapping[tuple[str, str], Run]) -> None:
        self._table = table
        self._patterns = [
            (tuple(path.split("/")), method, run) for (method, path), run in table.items() if _HOLE in path
        ]

    def match(self, method: str, path: str) -> Match[Run]:
        """Finds the operation of a raw path. Raises ApiError 404, or 405 where only the method is wrong."""
        exact = self._table.get((method, path))
        if exact is not None and _HOLE not in path:
            return Match(exact, ())
        segments = path.split("/")
        methods: set[str] = {allowed for allowed, known in self._table if known == path}
        for pattern, allowed, run in self._patterns:
            arguments = _holes(pattern, segments)
            if arguments is not None:
                if allowed == method:
                    return Match(run, arguments)
                methods.add(allowed)
        raise wrong_method(method, path) if methods else unknown_url(method, path)


OPERATIONS = Routes(_TABLE)
"""What a caller of the API can ask."""


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
