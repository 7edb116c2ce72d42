"""POST /v1/completions, the legacy text completions.

Knows: the shapes of OpenAI's "Completions" reference. Must not know: delivery.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.simulator import schemas
from broker.simulator.composition import Composed, compose, count_tokens
from broker.simulator.models import check, served
from broker.simulator.reply import DONE, Events, Reply, data_event, ok
from broker.simulator.request import Request
from broker.simulator.store import Store
from broker.simulator.usage import chat_usage

_DEFAULT_LIMIT = 16


@dataclass(frozen=True, slots=True)
class _Choice:
    """`prompt` is what `echo` puts before the text; empty where it was not asked for."""

    index: int
    prompt: str
    answer: Composed


def create(request: Request, store: Store) -> Reply:
    """POST /v1/completions."""
    schemas.completion(request.document, "")
    model = check(request.document, embeds=False, store=store)
    prompts = _prompts(request.document.get("prompt"))
    choices = _choices(request, prompts)
    tokens = sum(_prompt_tokens(prompt, model) for prompt in prompts)
    usage = chat_usage(tokens, sum(choice.answer.tokens for choice in choices))
    frame = {
        "id": "cmpl-" + request.digest[:29],
        "object": "text_completion",
        "created": request.created,
        "model": served(model),
    }
    if request.stream:
        return Events(_chunks(request, frame, choices, usage), DONE)
    shown = [_shown(choice, choice.prompt + choice.answer.text, choice.answer.finish) for choice in choices]
    return ok(frame | {"choices": shown, "usage": usage})


def _prompts(prompt: object) -> list[str | list[int]]:
    if not isinstance(prompt, list):
        return [prompt] if isinstance(prompt, str) else ["<|endoftext|>"]
    return [prompt] if isinstance(prompt[0], int) else prompt


def _prompt_tokens(prompt: str | list[int], model: str) -> int:
    return count_tokens(prompt, model) if isinstance(prompt, str) else len(prompt)


def _choices(request: Request, prompts: list[str | list[int]]) -> list[_Choice]:
    limit = request.integer("max_tokens")
    stop = request.document.get("stop")
    marks = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    choices: list[_Choice] = []
    for prompt in prompts:
        echo = prompt if isinstance(prompt, str) else f"{len(prompt)} tokens"
        for turn in range(request.integer("n") or 1):
            answer = compose(
                echo,
                f"{echo}{turn}",
                request.overrides,
                limit=_DEFAULT_LIMIT if limit is None else limit,
                stop=marks,
            )
            shown = echo if request.document.get("echo") is True else ""
            choices.append(_Choice(len(choices), shown, answer))
    return choices


def _shown(choice: _Choice, text: str, finish: str | None) -> dict[str, object]:
    return {"text": text, "index": choice.index, "logprobs": None, "finish_reason": finish}


def _chunks(
    request: Request, frame: dict[str, object], choices: list[_Choice], usage: dict[str, object]
) -> Iterator[bytes]:
    options = request.document.get("stream_options")
    with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    unused = {"usage": None} if with_usage else {}
    for choice in choices:
        for word in filter(None, (choice.prompt, *choice.answer.words)):
            yield data_event({**frame, "choices": [_shown(choice, word, None)], **unused})
        yield data_event({**frame, "choices": [_shown(choice, "", choice.answer.finish)], **unused})
    if with_usage:
        yield data_event({**frame, "choices": [], "usage": usage})
