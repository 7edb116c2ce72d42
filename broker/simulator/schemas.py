"""Which request bodies OpenAI accepts, operation by operation (its API reference, "Request body").

Knows: fields, types, ranges. Must not know: what the fields do.
"""

from __future__ import annotations

from broker.simulator.api_error import ApiError
from broker.simulator.checks import (
    Check,
    array,
    boolean,
    either,
    fields,
    integer,
    mapping,
    missing,
    number,
    one_of,
    string,
    wrong_type,
)

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = ("text", "image_url", "input_audio", "file", "refusal")
_INT64 = 2**63


def _anything(_value: object, _place: str) -> None:
    """Accepted as it is."""


_object = mapping(_anything)
_metadata = mapping(string(512), longest=16)
_logit_bias = mapping(number(-100, 100))
_strings = array(string(), "strings")
_stop = either(
    "a string or an array of strings", string=string(), array=array(string(), "strings", longest=4)
)
_tokens = array(integer(0), "integers", shortest=1)
_stream_options = fields({"include_usage": boolean, "include_obfuscation": boolean})

_part = fields({"type": one_of(*_PARTS), "text": string(), "image_url": _object, "refusal": string()}, "type")
_content = either(
    "a string or an array of objects", string=string(), array=array(_part, "objects", shortest=1)
)
_function = fields({"name": string(64), "description": string(), "parameters": _object}, "name")
_tool = fields({"type": one_of("function", "custom"), "function": _function, "custom": _object}, "type")
_tool_call = fields({"id": string(), "type": one_of("function", "custom"), "function": _object}, "id", "type")
_message_fields = fields(
    {
        "role": one_of(*_ROLES),
        "content": _content,
        "name": string(),
        "tool_call_id": string(),
        "tool_calls": array(_tool_call, "objects"),
        "refusal": string(),
    },
    "role",
)
_response_format = fields(
    {
        "type": one_of("text", "json_object", "json_schema"),
        "json_schema": fields({"name": string(64)}, "name"),
    },
    "type",
)


def _message(value: object, place: str) -> None:
    _message_fields(value, place)
    if not isinstance(value, dict):
        return
    answered_otherwise = value["role"] == "assistant" and (value.get("tool_calls") or value.get("refusal"))
    if value.get("content") is None and not answered_otherwise:
        raise wrong_type(f"{place}.content", "one of a string or array of objects", value.get("content"))
    if value["role"] == "tool" and value.get("tool_call_id") is None:
        raise missing(f"{place}.tool_call_id")


def _tool_choice(value: object, place: str) -> None:
    if isinstance(value, str):
        one_of("none", "auto", "required")(value, place)
    else:
        fields({"type": string()}, "type")(value, place)


_SAMPLING: dict[str, Check] = {
    "model": string(),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "user": string(),
    "stream": boolean,
    "store": boolean,
    "metadata": _metadata,
    "service_tier": one_of("auto", "default", "flex", "scale", "priority", "fast"),
    "safety_identifier": string(),
    "prompt_cache_key": string(),
    "parallel_tool_calls": boolean,
    "tool_choice": _tool_choice,
}
_GENERATION: dict[str, Check] = {
    "n": integer(1, 128),
    "stop": _stop,
    "max_tokens": integer(0),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "logit_bias": _logit_bias,
    "seed": integer(-_INT64, _INT64 - 1),
    "stream_options": _stream_options,
}

_chat_fields = fields(
    {
        **_SAMPLING,
        **_GENERATION,
        "messages": array(_message, "objects", shortest=1),
        "max_completion_tokens": integer(0),
        "tools": array(_tool, "objects", shortest=1, longest=128),
        "response_format": _response_format,
        "logprobs": boolean,
        "top_logprobs": integer(0, 20),
        "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh"),
        "modalities": _strings,
    },
    "messages",
)


def chat(value: object, place: str) -> None:
    """POST /v1/chat/completions."""
    _chat_fields(value, place)
    if not isinstance(value, dict):
        return
    if value.get("top_logprobs") is not None and value.get("logprobs") is not True:
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise ApiError(400, message, param="top_logprobs")
    if value.get("tool_choice") not in (None, "none") and not value.get("tools"):
        message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise ApiError(400, message, param="tool_choice")
    if value.get("stream_options") is not None and value.get("stream") is not True:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise ApiError(400, message, param="stream_options")


chat_update = fields({"metadata": _metadata}, "metadata")

_prompts = array(_anything, "strings", shortest=1, longest=2048)


def _string_or_tokens(value: object, place: str) -> None:
    if isinstance(value, list) and value and isinstance(value[0], int):
        _tokens(value, place)
    elif isinstance(value, list):
        _prompts(value, place)
        for index, item in enumerate(value):
            (_tokens if isinstance(item, list) else string())(item, f"{place}[{index}]")
    else:
        string()(value, place)


completion = fields(
    {
        **_SAMPLING,
        **_GENERATION,
        "prompt": _string_or_tokens,
        "best_of": integer(1, 20),
        "echo": boolean,
        "logprobs": integer(0, 5),
        "suffix": string(),
    }
)


def _embedding_input(value: object, place: str) -> None:
    _string_or_tokens(value, place)
    if value == "" or (isinstance(value, list) and "" in value):
        raise ApiError(400, f"Invalid '{place}': input cannot be an empty string.", param=place)


embedding = fields(
    {
        "model": string(),
        "input": _embedding_input,
        "dimensions": integer(1, 3072),
        "encoding_format": one_of("float", "base64"),
        "user": string(),
    },
    "input",
)

_moderation_part = fields(
    {"type": one_of("text", "image_url"), "text": string(), "image_url": _object}, "type"
)


def _moderation_item(value: object, place: str) -> None:
    (string() if isinstance(value, str) else _moderation_part)(value, place)


moderation = fields(
    {
        "model": string(),
        "input": either(
            "a string or an array",
            string=string(),
            array=array(_moderation_item, "strings", shortest=1),
        ),
    },
    "input",
)

_ITEM_ROLES = ("assistant", "system", "developer", "user")
_item_content = either(
    "a string or an array of objects",
    string=string(),
    array=array(fields({"type": string(), "text": string()}, "type"), "objects"),
)
_item = fields({"type": string(), "role": one_of(*_ITEM_ROLES), "content": _item_content})
_response_input = either("a string or an array", string=string(), array=array(_item, "objects"))

_RESPONSE: dict[str, Check] = {
    **_SAMPLING,
    "input": _response_input,
    "instructions": string(),
    "max_output_tokens": integer(16),
    "max_tool_calls": integer(1),
    "previous_response_id": string(),
    "background": boolean,
    "tools": array(fields({"type": string()}, "type"), "objects"),
    "text": _object,
    "reasoning": _object,
    "include": _strings,
    "truncation": one_of("auto", "disabled"),
    "top_logprobs": integer(0, 20),
    "stream_options": _stream_options,
}
response = fields(_RESPONSE)
input_tokens = fields(_RESPONSE)
compact = fields(
    {name: _RESPONSE[name] for name in ("model", "input", "instructions", "previous_response_id")}, "model"
)
