"""The documented types and ranges of OpenAI's request fields, as a table of checks.

Knows: what OpenAI's API reference (platform.openai.com/docs/api-reference, 2026) documents per field.
Must not know: transport or policy. It refuses what is malformed or outside a documented range and
nothing else: a field or value it does not name passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from broker.errors import BrokerError, Kind
from broker.model.operation import Operation

Check = Callable[[object, str], None]

ROLES = frozenset({"system", "user", "assistant", "developer", "tool", "function"})
MAX_NAME = 256
# A caller that could name the upstream or its key would step around the broker.
FORBIDDEN = frozenset(
    {"api_base", "api_key", "api_version", "azure_endpoint", "base_url", "default_headers", "extra_headers"}
)


def refuse(param: str, what: str, remedy: str = "") -> BrokerError:
    """The BAD_REQUEST for one parameter; `what` never quotes the caller's value."""
    return BrokerError(Kind.BAD_REQUEST, f"Invalid '{param}': {what}.", remedy=remedy, param=param)


def number(low: float, high: float) -> Check:
    """A JSON number in [low, high]; booleans are no numbers."""

    def check(value: object, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise refuse(param, "expected a number")
        if not low <= value <= high:
            raise refuse(param, f"expected a number between {low:g} and {high:g}")

    return check


def integer(low: int, high: int | None = None) -> Check:
    """A JSON integer of at least `low` and, where documented, at most `high`."""

    def check(value: object, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise refuse(param, "expected an integer")
        if value < low or (high is not None and value > high):
            bound = f"of at least {low}" if high is None else f"between {low} and {high}"
            raise refuse(param, f"expected an integer {bound}")

    return check


def any_integer(value: object, param: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(param, "expected an integer")


def boolean(value: object, param: str) -> None:
    if not isinstance(value, bool):
        raise refuse(param, "expected true or false")


def string(value: object, param: str) -> None:
    if not isinstance(value, str):
        raise refuse(param, "expected a string")


def name(value: object, param: str) -> None:
    """A non-empty string of at most 256 characters, without control characters."""
    string(value, param)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise refuse(param, f"expected 1 to {MAX_NAME} printable characters")


def name_or_null(value: object, param: str) -> None:
    """As `name`, where the reference wants the field to be there and allows null."""
    if value is not None:
        name(value, param)


def mapping(value: object, param: str) -> None:
    if not isinstance(value, dict):
        raise refuse(param, "expected an object")


def one_of(*allowed: str) -> Check:
    def check(value: object, param: str) -> None:
        if value not in allowed:
            raise refuse(param, f"expected one of {', '.join(allowed)}")

    return check


def array(item: Check, low: int = 0, high: int | None = None) -> Check:
    """An array of `low` to `high` items that each pass `item`."""

    def check(value: object, param: str) -> None:
        if not isinstance(value, list):
            raise refuse(param, "expected an array")
        if len(value) < low or (high is not None and len(value) > high):
            bound = f"at least {low}" if high is None else f"{low} to {high}"
            raise refuse(param, f"expected {bound} items")
        try:
            for entry in value:
                item(entry, param)
        except BrokerError:  # the place is named only where it is to be told
            for index, entry in enumerate(value):
                item(entry, f"{param}[{index}]")

    return check


def either(expected: str, *checks: Check) -> Check:
    """Passes when one of `checks` does; otherwise says `expected`."""

    def check(value: object, param: str) -> None:
        for candidate in checks:
            try:
                candidate(value, param)
            except BrokerError:
                continue
            return
        raise refuse(param, f"expected {expected}")

    return check


def logit_bias(value: object, param: str) -> None:
    mapping(value, param)
    if isinstance(value, dict):
        for bias in value.values():  # the keys are the caller's text: the error names only the parameter
            number(-100, 100)(bias, param)


def message(value: object, param: str) -> None:
    """One chat message: a known role, content that is text, parts or absent."""
    if not isinstance(value, dict):
        raise refuse(param, "expected an object")
    role = value.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise refuse(f"{param}.role", f"expected one of {', '.join(sorted(ROLES))}")
    content = value.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            mapping(part, f"{param}.content[{index}]")
            string(part.get("type"), f"{param}.content[{index}].type")
    elif content is not None and not isinstance(content, str):
        raise refuse(f"{param}.content", "expected a string or an array of parts")


_TEXT_OR_TOKENS = either(
    "a string, or an array of strings, of tokens or of token arrays",
    string,
    array(string, 1),
    array(integer(0), 1),
    array(array(integer(0), 1), 1),
)
_INPUT = either("a string or an array of items", string, array(mapping))
_SAMPLING: Mapping[str, Check] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "user": string,
}
_GENERATION: Mapping[str, Check] = {
    **_SAMPLING,
    "n": integer(1, 128),
    "stop": either("a string or an array of at most 4 strings", string, array(string, 0, 4)),
    "max_tokens": integer(0),
    "stream": boolean,
    "stream_options": mapping,
    "logit_bias": logit_bias,
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "seed": any_integer,
}
_CHAT_TUNING: Mapping[str, Check] = {
    **_GENERATION,
    "max_completion_tokens": integer(0),
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "tools": array(mapping),
    "tool_choice": either("a string or an object", string, mapping),
    "response_format": mapping,
    "parallel_tool_calls": boolean,
    "store": boolean,
    "metadata": mapping,
    "modalities": array(string),
    "safety_identifier": string,
    "service_tier": string,
    "reasoning_effort": string,
}

# Per operation: the fields that must be there, and the checks of all fields we know. A documented
# optional field may be null, as OpenAI's own SDKs send it.
REQUIRED: Mapping[Operation, Mapping[str, Check]] = {
    Operation.CHAT: {"model": name, "messages": array(message, 1)},
    Operation.COMPLETIONS: {"model": name},
    Operation.EDITS: {"model": name, "instruction": string},
    Operation.EMBEDDINGS: {"model": name, "input": _TEXT_OR_TOKENS},
    Operation.RESPONSES_COMPACT: {"model": name_or_null},
    Operation.MODERATIONS: {"input": either("a string or an array", string, array(lambda *_: None, 1))},
}
OPTIONAL: Mapping[Operation, Mapping[str, Check]] = {
    Operation.CHAT: _CHAT_TUNING,
    Operation.COMPLETIONS: {
        **_GENERATION,
        "prompt": _TEXT_OR_TOKENS,
        "best_of": integer(0, 20),
        "echo": boolean,
        "logprobs": integer(0, 5),
        "suffix": string,
    },
    Operation.EDITS: {**_SAMPLING, "input": string, "n": integer(1, 20)},
    Operation.EMBEDDINGS: {
        "dimensions": integer(1),
        "encoding_format": one_of("float", "base64"),
        "user": string,
    },
    Operation.MODERATIONS: {"model": name},
    Operation.RESPONSES: {
        **_SAMPLING,
        "model": name,
        "input": _INPUT,
        "instructions": _INPUT,
        "max_output_tokens": integer(0),
        "max_tool_calls": integer(0),
        "top_logprobs": integer(0, 20),
        "stream": boolean,
        "store": boolean,
        "background": boolean,
        "parallel_tool_calls": boolean,
        "metadata": mapping,
        "tools": array(mapping),
        "tool_choice": either("a string or an object", string, mapping),
        "reasoning": mapping,
        "text": mapping,
        "previous_response_id": string,
        "safety_identifier": string,
    },
    Operation.RESPONSES_INPUT_TOKENS: {"model": name},
    Operation.RESPONSES_COMPACT: {
        "input": _INPUT,
        "instructions": _INPUT,
        "previous_response_id": string,
        "service_tier": string,
    },
    Operation.CHAT_UPDATE: {"metadata": mapping},
}


def check_document(operation: Operation, document: Mapping[str, object]) -> None:
    """Raises BAD_REQUEST naming the first parameter that OpenAI's reference rules out."""
    for field in FORBIDDEN & document.keys():
        raise refuse(
            field, "a call cannot choose its upstream or key", "Remove it: the broker supplies both."
        )
    required = REQUIRED.get(operation, {})
    for field, check in required.items():
        if field not in document:
            raise BrokerError(
                Kind.BAD_REQUEST,
                f"Missing required parameter: '{field}'.",
                remedy=f"Add '{field}' to the body.",
                param=field,
            )
        check(document[field], field)
    known = OPTIONAL.get(operation, {})
    for field, value in document.items():
        if value is not None and field in known:
            known[field](value, field)
