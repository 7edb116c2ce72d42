"""Bodies made from the SDK's own request types: one for each field of them that takes an id."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import typing_extensions
from openai.types import chat, completion_create_params, embedding_create_params, moderation_create_params
from openai.types.responses import (
    input_token_count_params,
    response_compact_params,
    response_create_params,
)

from broker.model.operation import Operation

FOREIGN = "resp_of_somebody_else"
TYPES: dict[Operation, Any] = {
    Operation.CHAT: chat.completion_create_params.CompletionCreateParamsNonStreaming,
    Operation.CHAT_UPDATE: chat.completion_update_params.CompletionUpdateParams,
    Operation.COMPLETIONS: completion_create_params.CompletionCreateParamsNonStreaming,
    Operation.EMBEDDINGS: embedding_create_params.EmbeddingCreateParams,
    Operation.MODERATIONS: moderation_create_params.ModerationCreateParams,
    Operation.RESPONSES: response_create_params.ResponseCreateParamsNonStreaming,
    Operation.RESPONSES_INPUT_TOKENS: input_token_count_params.InputTokenCountParams,
    Operation.RESPONSES_COMPACT: response_compact_params.ResponseCompactParams,
}
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)
_WHOLE = frozenset({"container", "conversation"})
_MAX_DEPTH = 9

Planted = tuple[str, Any]
"""A place, and a value that holds FOREIGN there."""


def planted(operation: Operation) -> Iterator[Planted]:
    """Each place of the operation's body that takes an id, once for each kind of item or tool around it."""
    yield from _in(TYPES[operation], "", ())


def _in(kind: Any, where: str, around: tuple[Any, ...]) -> Iterator[Planted]:
    kind = _bare(kind)
    if typing_extensions.is_typeddict(kind):
        if kind not in around and len(around) < _MAX_DEPTH:
            yield from _in_object(kind, where, (*around, kind))
    elif get_origin(kind) in (Union, types.UnionType):
        for each in get_args(kind):
            yield from _in(each, where, around)
    elif _is_list(kind):
        for place, value in _in(get_args(kind)[0], f"{where}[]", around):
            yield place, [value]


def _in_object(kind: Any, where: str, around: tuple[Any, ...]) -> Iterator[Planted]:
    hints, base = _hints(kind), _least(kind)
    label = f"{where}<{base['type']}>" if isinstance(base.get("type"), str) else where
    for name, hint in hints.items():
        place = f"{label}.{name}".removeprefix(".")
        if name == "id" or name.endswith("_id") or name in _WHOLE:
            yield place, {**base, name: FOREIGN}
        elif name.endswith("_ids"):
            yield place, {**base, name: [FOREIGN]}
        for deeper, value in _in(hint, place, around):
            yield deeper, {**base, name: value}


def _least(kind: Any) -> Any:
    """The least value of a type."""
    kind = _bare(kind)
    if typing_extensions.is_typeddict(kind):
        return {name: _least(hint) for name, hint in _hints(kind).items() if _is_required(hint)}
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        return _least(get_args(kind)[0])
    if _is_list(kind):
        return [_least(get_args(kind)[0])]
    return {str: "x", int: 1, float: 1.0, bool: False, type(None): None}.get(kind, {})


def _hints(kind: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(kind, include_extras=True)


def _is_required(hint: Any) -> bool:
    """The SDK's classes know it only once their annotations are evaluated."""
    return get_origin(hint) in (typing_extensions.Required, typing.Required)


def _bare(kind: Any) -> Any:
    while get_origin(kind) in (
        typing_extensions.Required,
        typing.Required,
        typing.NotRequired,
        typing.Annotated,
    ):
        kind = get_args(kind)[0]
    return kind


def _is_list(kind: Any) -> bool:
    origin = get_origin(kind)
    return origin in _LISTS or getattr(origin, "__name__", "") == "SequenceNotStr"
