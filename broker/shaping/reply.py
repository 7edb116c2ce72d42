"""Step 10's pure half: where a reply carries text, and replies reshaped for the caller.

Knows: OpenAI's reply and event shapes. Must not know: streams in flight, records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import orjson

from broker.model.operation import Operation
from broker.shaping import edits

GENERATING = frozenset(
    {
        Operation.CHAT,
        Operation.COMPLETIONS,
        Operation.EDITS,
        Operation.RESPONSES,
        Operation.RESPONSES_COMPACT,
    }
)
_NO_TEXT = frozenset({"delta", "type", "item_id", "sequence_number", "obfuscation"})
Channel = tuple[str, ...]


def parse_reply(body: bytes) -> object:
    """The reply as JSON, or None where it is none; upstream's JSON is read leniently."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def visible_models(body: bytes, sees: Callable[[str], bool]) -> bytes:
    """The `/v1/models` list without the models the caller may not use."""
    document = parse_reply(body)
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        return body
    kept = [entry for entry in document["data"] if isinstance(entry, dict) and sees(str(entry.get("id")))]
    return body if len(kept) == len(document["data"]) else orjson.dumps({**document, "data": kept})


def edit_reply(document: object, body: bytes) -> bytes:
    """A chat reply as the documented edits reply; anything else (an error) as it came."""
    if isinstance(document, dict) and "choices" in document:
        return orjson.dumps(edits.from_chat(document))
    return body


def deltas(event: Mapping[str, object]) -> Iterator[tuple[Channel, str]]:
    """The texts of one stream event, each with the channel it continues.

    Chat deltas continue their choice's field; completions their choice's text; `/v1/responses` deltas
    their item and content part. Any other text in an event stands alone and is not yielded here.
    """
    choices = event.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict):
                yield from _choice_deltas(choice)
    delta = event.get("delta")
    if isinstance(delta, str):
        parts = (event.get(name) for name in ("item_id", "output_index", "content_index", "summary_index"))
        yield (str(event.get("type")), *(str(part) for part in parts)), delta


def wholes(event: object) -> Iterator[str]:
    """The texts of an event that continue nothing: a `/v1/responses` event's finished item, part or
    response, or data that is no object. A delta's own text is in `deltas`.
    """
    stack: list[object] = [event]
    if isinstance(event, dict):
        if "choices" in event:
            return
        stack = [value for name, value in event.items() if name not in _NO_TEXT]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _choice_deltas(choice: Mapping[str, object]) -> Iterator[tuple[Channel, str]]:
    index = str(choice.get("index"))
    text = choice.get("text")
    if isinstance(text, str):
        yield (index, "text"), text
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    for name, value in delta.items():
        if isinstance(value, str) and name != "role":
            yield (index, name), value
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            yield (index, "tool_calls", str(call.get("index"))), arguments
