"""Every text a request carries, wherever it is hidden.

Knows: that a field nobody knows, an object key, a JSON escape, a token id or a long number carries text as
well as `messages[0].content` does; that an image does not. Must not know: any rule, nor what a finding
leads to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from broker.errors import BrokerError, Kind
from broker.model.finding import Path, Text, location
from broker.prefilter.escapes import levels, unescaped
from broker.prefilter.opaque import HOLDERS, Payload, opaque_members, payloads

DecodeTokens = Callable[[list[int]], str | None]

KEY = "<key>"
"""The last step of a path that means the key itself, not its value; no plain key looks like it."""

LONG_NUMBER = 10**11  # twelve digits and more can be a card; no rule takes fewer without a separator
_PLAIN_KEY = re.compile(r"[a-z][A-Za-z_]{0,30}\Z")
_PLAIN_NAME = re.compile(r"[a-z_]{1,32}\Z")
_TOKEN_FIELDS = frozenset({"prompt", "input"})
_NAMES = frozenset({"role", "type"})
_SEED = "seed"  # a random number of OpenAI's own; no model reads it
_KNOWN_KEYS = frozenset(
    """
    messages role content type text model input prompt instruction instructions tools tool_choice function
    name description parameters arguments tool_calls tool_call_id id stream stream_options include_usage
    temperature top_p n stop max_tokens max_completion_tokens max_output_tokens logit_bias seed user
    presence_penalty frequency_penalty response_format json_schema schema strict properties required items
    enum image_url url detail metadata store logprobs top_logprobs suffix echo best_of dimensions
    encoding_format choices index message finish_reason object created usage prompt_tokens completion_tokens
    total_tokens refusal system_fingerprint service_tier annotations prompt_tokens_details cached_tokens
    completion_tokens_details reasoning_tokens audio_tokens accepted_prediction_tokens
    rejected_prediction_tokens
    """.split()  # noqa: SIM905 - read as a list of words, not as sixty quoted ones
)


@dataclass(frozen=True, slots=True)
class DecodedText(Text):
    """What a number is written as, or token ids stand for."""

    @property
    def exact(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class SplicedText(Text):
    """A string without its opaque `payloads`: each is one `=`, of which no rule makes anything."""

    payloads: tuple[Payload, ...] = ()

    def span(self, start: int, end: int) -> tuple[int, int]:
        return self._origin(start), self._origin(end)

    def _origin(self, place: int) -> int:
        for payload in self.payloads:
            if place <= payload.start:
                break
            place += payload.end - payload.start - 1
        return place


@dataclass(frozen=True)
class UnescapedText(Text):
    """`source` with its JSON escapes resolved."""

    source: Text

    @cached_property
    def _levels(self) -> list[Callable[[int], int]]:
        return levels(self.source.value)

    def span(self, start: int, end: int) -> tuple[int, int]:
        for origins in reversed(self._levels):
            start, end = origins(start), origins(end)
        return self.source.span(start, end)


def texts(document: Mapping[str, object], decode_tokens: DecodeTokens | None = None) -> list[Text]:
    """All strings of the document in order, object keys included, and decoded forms of what hides text.

    A string with JSON escapes appears a second time without them; a `prompt` or `input` of token ids as
    the text that `decode_tokens` makes of them; a whole number of twelve digits or more as its digits. A path
    names a key only where it is a plain lower-case name, otherwise by its place in its object: a secret used
    as a key is not repeated in a location. Left out: the API's own field names, `role` and `type` where
    they are plain lower-case names, a call's `seed`, and what proves to be no text (`opaque`).

    Raises BrokerError BAD_REQUEST for token ids that nothing can decode: they could say anything.

    >>> [text.value for text in texts({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})]
    ['gpt-4o', 'hi']
    """
    found: list[Text] = []
    pending: list[tuple[Path, object]] = [((), document)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            _add(found, path, value)
        elif isinstance(value, (dict, Mapping)):  # dict first: asking an abstract class costs ten times more
            _open(found, pending, path, value)
        elif isinstance(value, (list, tuple)):
            if path and path[0] in _TOKEN_FIELDS and _is_tokens(value):
                found.append(_detokenised(path, value, decode_tokens))
            else:
                pending.extend([((*path, i), value[i]) for i in range(len(value) - 1, -1, -1)])
        elif isinstance(value, (int, float)) and abs(value) >= LONG_NUMBER:
            found.append(DecodedText(path, _digits(value)))
    return found


def _add(found: list[Text], path: Path, value: str) -> None:
    text = Text(path, value)
    if ";base64," in value and (opaque := tuple(payloads(value))):
        text = SplicedText(path, _without(value, opaque), opaque)
    found.append(text)
    if "\\" in text.value:
        plain = unescaped(text.value)
        if plain != text.value:
            found.append(UnescapedText(path, plain, text))


def _without(value: str, opaque: Sequence[Payload]) -> str:
    pieces, done = [], 0
    for payload in opaque:
        pieces.append(value[done : payload.start])
        done = payload.end
    return "=".join([*pieces, value[done:]])


def _digits(value: float) -> str:
    """A number as it is written; what is whole, without a fraction of zeros."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _open(
    found: list[Text], pending: list[tuple[Path, object]], path: Path, members: Mapping[str, object]
) -> None:
    values: list[tuple[Path, object]] = []
    for place, (key, value) in enumerate(members.items()):
        if key in _KNOWN_KEYS:
            if isinstance(value, str):
                if key in _NAMES and _PLAIN_NAME.match(value):
                    continue
            elif value is None or (isinstance(value, int) and _is_no_text(key, value, path)):
                continue
            step = (*path, key)
        elif key in HOLDERS and key in opaque_members(members):
            continue
        else:
            step = (*path, plain_step(key, place))
            _add(found, (*step, KEY), key)
        values.append((step, value))
    values.reverse()
    while values and isinstance(value := values[-1][1], str):
        _add(found, values.pop()[0], value)
    pending += values


def _is_no_text(key: str, number: int, path: Path) -> bool:
    return -LONG_NUMBER < number < LONG_NUMBER or (key == _SEED and not path)


def plain_step(key: str, place: int) -> str | int:
    """How a path names the key that is at this place of its object: a secret used as one is not repeated."""
    return key if _PLAIN_KEY.match(key) else place


def _is_tokens(items: list[object] | tuple[object, ...]) -> bool:
    return bool(items) and all(type(item) is int for item in items)


def _detokenised(
    path: Path, tokens: list[object] | tuple[object, ...], decode_tokens: DecodeTokens | None
) -> DecodedText:
    text = decode_tokens([token for token in tokens if isinstance(token, int)]) if decode_tokens else None
    if text is None:
        raise BrokerError(
            Kind.BAD_REQUEST,
            "The token ids cannot be turned into text and so cannot be inspected.",
            remedy="Send the text itself.",
            param=location(path),
        )
    return DecodedText(path, text)
