"""POST /v1/chat/completions: the unary completion and its stream of chunks.

Knows: the shapes of OpenAI's "Chat Completions" reference. Must not know: delivery, storage format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.simulator import schemas
from broker.simulator.api_error import ApiError
from broker.simulator.composition import ECHOED, Composed, compose, compose_json, content_text, count_tokens
from broker.simulator.models import check, served
from broker.simulator.reply import DONE, Events, Reply, data_event, ok
from broker.simulator.request import Request
from broker.simulator.store import Store, Stored
from broker.simulator.tools import ToolCall, called
from broker.simulator.usage import chat_usage

_TOKENS_PER_MESSAGE = 3
_NO_JSON_WORD = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
)


@dataclass(frozen=True, slots=True)
class _Turn:
    """Everything both renderings need. One answer a choice; with `call` the answers are not shown."""

    request: Request
    model: str
    answers: tuple[Composed, ...]
    call: ToolCall | None
    usage: dict[str, object]

    @property
    def id(self) -> str:
        return "chatcmpl-" + self.request.digest[:29]

    def frame(self, kind: str) -> dict[str, object]:
        """The fields that the completion and each of its chunks share."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.request.created,
            "model": served(self.model),
            "service_tier": "default",
            "system_fingerprint": "fp_simulated0",
        }


def create(request: Request, store: Store) -> Reply:
    """POST /v1/chat/completions."""
    schemas.chat(request.document, "")
    model = check(request.document, embeds=False, store=store)
    messages = _messages(request.document)
    turn = _answered(request, model, messages)
    if request.document.get("store") is True:
        store.chats[turn.id] = Stored(_completion(turn) | _asked(request), messages)
    return Events(_chunks(turn), DONE) if request.stream else ok(_completion(turn))


def _messages(document: Mapping[str, object]) -> list[dict[str, object]]:
    messages = document["messages"]
    return messages if isinstance(messages, list) else []


def _answered(request: Request, model: str, messages: list[dict[str, object]]) -> _Turn:
    users = [content_text(message.get("content")) for message in messages if message["role"] == "user"]
    echo = users[-1] if users else ""
    limit = request.integer("max_completion_tokens")
    limit = request.integer("max_tokens") if limit is None else limit
    answers = tuple(_answer(request, echo, index, limit) for index in range(request.integer("n") or 1))
    texts = [content_text(message.get("content")) for message in messages]
    prompt = sum(count_tokens(text, model) + _TOKENS_PER_MESSAGE for text in texts) + _TOKENS_PER_MESSAGE
    call = called(request.document, echo[:ECHOED])
    tokens = (
        sum(answer.tokens for answer in answers) if call is None else count_tokens(call.arguments, model) + 4
    )
    return _Turn(request, model, answers, call, chat_usage(prompt, tokens))


def _answer(request: Request, echo: str, index: int, limit: int | None) -> Composed:
    wanted = request.document.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else "text"
    if kind == "json_object" and b"json" not in request.body.lower().replace(b"json_object", b""):
        raise ApiError(400, _NO_JSON_WORD, param="messages")
    if kind in ("json_object", "json_schema"):
        return compose_json(echo, limit)
    stop = request.document.get("stop")
    marks = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    return compose(echo, f"{echo}{index}", request.overrides, limit=limit, stop=marks)


def _completion(turn: _Turn) -> dict[str, object]:
    choices = [_choice(turn, index, answer) for index, answer in enumerate(turn.answers)]
    return turn.frame("chat.completion") | {"choices": choices, "usage": turn.usage}


def _choice(turn: _Turn, index: int, answer: Composed) -> dict[str, object]:
    message: dict[str, object] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": [],
    }
    if turn.call is not None:
        message |= {"content": None, "tool_calls": [_tool_call(turn, turn.call)]}
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(turn.request, answer.words),
        "finish_reason": answer.finish if turn.call is None else "tool_calls",
    }


def _tool_call(turn: _Turn, call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": "call_" + turn.request.digest[:24], "type": "function", "function": function}


def _logprobs(request: Request, words: tuple[str, ...]) -> dict[str, object] | None:
    if request.document.get("logprobs") is not True:
        return None
    alternatives = request.integer("top_logprobs") or 0
    tokens = [{"token": word, "logprob": -0.01, "bytes": list(word.encode())} for word in words]
    return {
        "content": [token | {"top_logprobs": [token] * alternatives} for token in tokens],
        "refusal": None,
    }


def _asked(request: Request) -> dict[str, object]:
    """What a stored completion repeats of its request."""
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "tools", "tool_choice")
    repeated = {name: request.document.get(name) for name in names}
    return repeated | {
        "metadata": request.document.get("metadata") or {},
        "request_id": request.request_id,
        "input_user": request.document.get("user"),
        "response_format": request.document.get("response_format"),
    }


def _chunks(turn: _Turn) -> Iterator[bytes]:
    options = turn.request.document.get("stream_options")
    with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    frame = turn.frame("chat.completion.chunk")
    unused = {"usage": None} if with_usage else {}

    def chunk(index: int, delta: dict[str, object], finish: str | None, words: tuple[str, ...] = ()) -> bytes:
        logprobs = _logprobs(turn.request, words) if words else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return data_event({**frame, "choices": [choice], **unused})

    for index, answer in enumerate(turn.answers):
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None}, None)
        if turn.call is not None:
            for delta in _tool_deltas(turn, turn.call):
                yield chunk(index, delta, None)
            yield chunk(index, {}, "tool_calls")
            continue
        for word in answer.words:
            yield chunk(index, {"content": word}, None, (word,))
        yield chunk(index, {}, answer.finish)
    if with_usage:
        yield data_event({**frame, "choices": [], "usage": turn.usage})


def _tool_deltas(turn: _Turn, call: ToolCall) -> Iterator[dict[str, object]]:
    whole = _tool_call(turn, call)
    yield {"tool_calls": [{"index": 0, **whole, "function": {"name": call.name, "arguments": ""}}]}
    half = len(call.arguments) // 2
    for part in (call.arguments[:half], call.arguments[half:]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
