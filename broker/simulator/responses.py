"""POST /v1/responses and its stream of typed events.

Knows: the shapes of OpenAI's "Responses" reference. Must not know: delivery; what stored responses do later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from broker.simulator import schemas
from broker.simulator.api_error import ApiError
from broker.simulator.composition import ECHOED, Composed, compose, content_text, count_tokens
from broker.simulator.models import check, served
from broker.simulator.reply import Events, Reply, named_event, ok
from broker.simulator.request import Request
from broker.simulator.store import Store, Stored
from broker.simulator.tools import ToolCall, called
from broker.simulator.usage import response_usage

_TOKENS_PER_ITEM = 3


@dataclass(frozen=True, slots=True)
class _Turn:
    """Everything the response and its events need; with `call` the answer is not shown."""

    request: Request
    model: str
    answer: Composed
    call: ToolCall | None
    usage: dict[str, object]

    @property
    def id(self) -> str:
        return "resp_" + self.request.digest[:48]

    @property
    def item_id(self) -> str:
        return ("msg_" if self.call is None else "fc_") + self.request.digest[:48]

    @property
    def status(self) -> str:
        return "completed" if self.call is not None or self.answer.finish == "stop" else "incomplete"


def create(request: Request, store: Store) -> Reply:
    """POST /v1/responses. Kept unless `store` is false; in the background it is done when it is next read."""
    schemas.response(request.document, "")
    model = check(request.document, embeds=False, store=store)
    _check_previous(request, store)
    items = input_items(request)
    turn = _answered(request, model, items)
    finished = _response(turn, turn.status)
    if request.document.get("store") is not False:
        store.responses[turn.id] = Stored(finished, items)
    if request.stream:
        terminal = {
            "type": f"response.{turn.status}",
            "sequence_number": _event_count(turn),
            "response": finished,
        }
        return Events(map(named_event, _events(turn)), named_event(terminal))
    queued = request.document.get("background") is True
    return ok(_response(turn, "queued") if queued else finished)


def count_input(request: Request, store: Store) -> Reply:
    """POST /v1/responses/input_tokens."""
    schemas.input_tokens(request.document, "")
    model = check(request.document, embeds=False, store=store)
    tokens = _prompt_tokens(request, model, input_items(request))
    return ok({"object": "response.input_tokens", "input_tokens": tokens})


def compact(request: Request, store: Store) -> Reply:
    """POST /v1/responses/compact: the user's messages, then all else as one item that only OpenAI reads."""
    schemas.compact(request.document, "")
    model = check(request.document, embeds=False, store=store)
    _check_previous(request, store)
    items = input_items(request)
    compaction = {
        "id": "cmp_" + request.digest[:48],
        "type": "compaction",
        "encrypted_content": "gAAAAAB" + request.digest * 2,
    }
    compacted: dict[str, object] = {
        "id": "resp_" + request.digest[:48],
        "object": "response.compaction",
        "created_at": request.created,
        "output": [*(item for item in items if item.get("role") == "user"), compaction],
        "usage": response_usage(_prompt_tokens(request, model, items), _TOKENS_PER_ITEM),
    }
    return ok(compacted)


def input_items(request: Request) -> list[dict[str, object]]:
    """The input as items with identifiers; a string is one user message."""
    given = request.document.get("input")
    items = given if isinstance(given, list) else [{"role": "user", "content": given or ""}]
    return [_item(request, index, item) for index, item in enumerate(items)]


def _item(request: Request, index: int, item: dict[str, object]) -> dict[str, object]:
    known: dict[str, object] = {"id": f"msg_{request.digest[:44]}{index:04d}", **item}
    if "role" in item:
        content = item.get("content")
        parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
        known |= {"type": "message", "status": "completed", "content": parts}
    return known


def _check_previous(request: Request, store: Store) -> None:
    previous = request.text("previous_response_id")
    if previous and previous not in store.responses:
        raise ApiError(
            400,
            f"Previous response with id '{previous}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )


def _answered(request: Request, model: str, items: list[dict[str, object]]) -> _Turn:
    users = [content_text(item.get("content")) for item in items if item.get("role") == "user"]
    echo = users[-1] if users else ""
    answer = compose(echo, echo, request.overrides, limit=request.integer("max_output_tokens"))
    call = called(request.document, echo[:ECHOED])
    tokens = answer.tokens if call is None else count_tokens(call.arguments, model) + 4
    return _Turn(request, model, answer, call, response_usage(_prompt_tokens(request, model, items), tokens))


def _prompt_tokens(request: Request, model: str, items: list[dict[str, object]]) -> int:
    texts = [request.text("instructions"), *(content_text(item.get("content")) for item in items)]
    return sum(count_tokens(text, model) + _TOKENS_PER_ITEM for text in texts)


def _response(turn: _Turn, status: str) -> dict[str, object]:
    asked = turn.request.document
    ended = status in ("completed", "incomplete")
    return {
        "id": turn.id,
        "object": "response",
        "created_at": turn.request.created,
        "status": status,
        "background": asked.get("background") is True,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": served(turn.model),
        "output": [_output_item(turn, status)] if ended else [],
        "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
        "previous_response_id": asked.get("previous_response_id"),
        "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": asked.get("store") is not False,
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": asked.get("tools") or [],
        "top_p": asked.get("top_p", 1.0),
        "truncation": asked.get("truncation") or "disabled",
        "usage": turn.usage if ended else None,
        "user": asked.get("user"),
        "metadata": asked.get("metadata") or {},
    }


def _output_item(turn: _Turn, status: str) -> dict[str, object]:
    """The message or call; while it is `in_progress` it has no content yet."""
    done = status != "in_progress"
    if turn.call is not None:
        return {
            "id": turn.item_id,
            "type": "function_call",
            "status": status,
            "call_id": "call_" + turn.request.digest[:24],
            "name": turn.call.name,
            "arguments": turn.call.arguments if done else "",
        }
    content = [_part(turn.answer.text)] if done else []
    return {"id": turn.item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(turn: _Turn) -> Iterator[dict[str, object]]:
    """All events but the terminal one, numbered."""
    for number, (kind, fields) in enumerate(_unnumbered(turn)):
        yield {"type": kind, "sequence_number": number, **fields}


def _event_count(turn: _Turn) -> int:
    return sum(1 for _ in _unnumbered(turn))


def _unnumbered(turn: _Turn) -> Iterator[tuple[str, dict[str, object]]]:
    started = _response(turn, "in_progress")
    item = {"item_id": turn.item_id, "output_index": 0}
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    yield "response.output_item.added", {"output_index": 0, "item": _output_item(turn, "in_progress")}
    if turn.call is not None:
        yield "response.function_call_arguments.delta", {**item, "delta": turn.call.arguments}
        arguments = {"name": turn.call.name, "arguments": turn.call.arguments}
        yield "response.function_call_arguments.done", {**item, **arguments}
    else:
        part = {**item, "content_index": 0}
        yield "response.content_part.added", {**part, "part": _part("")}
        for word in turn.answer.words:
            yield "response.output_text.delta", {**part, "delta": word, "logprobs": []}
        yield "response.output_text.done", {**part, "text": turn.answer.text, "logprobs": []}
        yield "response.content_part.done", {**part, "part": _part(turn.answer.text)}
    yield "response.output_item.done", {"output_index": 0, "item": _output_item(turn, turn.status)}
