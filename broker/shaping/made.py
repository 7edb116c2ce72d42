"""Which objects a reply says that OpenAI keeps now, and what becomes of a request that may not name some.

Knows: where OpenAI's replies and stream events carry the ids of what a call made. Must not know: owners.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from broker.model.call import Call
from broker.model.decision import CallDecision
from broker.model.operation import Operation
from broker.shaping.mentions import Path

_Tree = dict[str | int, "_Tree"]
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")
_OF_RESPONSES = frozenset({Operation.RESPONSES, Operation.RESPONSES_GET, Operation.RESPONSES_CANCEL})
CHATS = frozenset({Operation.CHAT, Operation.CHAT_GET})
"""Whose replies are chats."""


def keeps(call: Call, decision: CallDecision) -> bool:
    """Whether OpenAI keeps what this call makes, or what it reads is kept already. A response is kept unless
    the request that goes upstream says otherwise, a chat only where it says so.
    """
    document = call.document
    if document is None:
        return call.operation in _OF_RESPONSES
    asked = None if "store" in decision.shape.remove else document.get("store")
    store = decision.shape.set.get("store", asked)
    return store is True if call.operation is Operation.CHAT else store is not False


def may_make(call: Call, *, kept: bool) -> bool:
    """Whether a reply to this call can carry the id of an object that can be named later."""
    if call.operation in _OF_RESPONSES:
        return True  # a container outlives a response that is not kept
    return call.operation in CHATS and (kept or (call.document is not None and "audio" in call.document))


def made(operation: Operation, document: object, *, kept: bool) -> list[str]:
    """The ids in a reply or an event, the response or chat itself first."""
    if not isinstance(document, dict):
        return []
    found = _of_response(document, kept) if operation in _OF_RESPONSES else _of_chat(document, kept)
    return [each for each in found if isinstance(each, str) and _ID.match(each)]


def is_over(document: object) -> bool:
    """Whether this event ends a response: it tells what was used."""
    inner = document.get("response") if isinstance(document, dict) else None
    return isinstance(inner, dict) and isinstance(inner.get("usage"), dict)


def _of_response(document: Mapping[str, object], kept: bool) -> Iterator[object]:
    inner = document.get("response")
    body: Mapping[str, object] = inner if isinstance(inner, dict) else document
    if kept and body.get("object") == "response":
        yield body.get("id")
    output = body.get("output")
    for item in (*(output if isinstance(output, list) else ()), document.get("item")):
        if isinstance(item, dict):
            if kept:
                yield item.get("id")
            yield item.get("container_id")


def _of_chat(document: Mapping[str, object], kept: bool) -> Iterator[object]:
    if kept:
        yield document.get("id")
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        said = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
        audio = said.get("audio") if isinstance(said, dict) else None
        if isinstance(audio, dict):
            yield audio.get("id")


def without(document: Mapping[str, object], paths: Sequence[Path]) -> Mapping[str, object]:
    """The document without what is at these paths. What is not on the way to one of them is shared.

    >>> without({"input": [{"id": "msg_1", "role": "user"}]}, [("input", 0, "id")])
    {'input': [{'role': 'user'}]}
    """
    tree: _Tree = {}
    for path in paths:
        below = tree
        for step in path:
            below = below.setdefault(step, {})
    return dict(_kept(document.items(), tree))


def _cut(value: object, tree: _Tree) -> object:
    if isinstance(value, dict):
        return dict(_kept(value.items(), tree))
    if isinstance(value, list):
        return [child for _, child in _kept(enumerate(value), tree)]
    return value


def _kept(children: Iterable[tuple[str | int, object]], tree: _Tree) -> Iterator[tuple[Any, object]]:
    """Each child that stays, itself cut; where a path ends, its child does not."""
    for step, child in children:
        below = tree.get(step)
        if below is None:
            yield step, child
        elif below:
            yield step, _cut(child, below)
