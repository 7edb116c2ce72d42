"""What a request asks the simulator to do to it: faults and the shape of the answer.

Knows: the grammar and its two places. Must not know: how any fault is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

from broker.simulator.api_error import ApiError

_MARK = "sim-"


class Override(StrEnum):
    """Every item of the grammar. The number after the colon is optional where a default is named."""

    RATE_LIMIT = "429"
    """429 on every attempt."""
    RATE_LIMIT_THEN_OK = "429-then-ok"
    """429 on the first NUMBER (1) attempts of one idempotency-key, or else of one method, path and body."""
    PROJECT_SPENT = "429-project-spend-limit"
    """429 project_spend_limit_exceeded on every attempt: no wait helps."""
    ORGANIZATION_SPENT = "429-organization-spend-limit"
    """429 organization_spend_limit_exceeded on every attempt."""
    RETRY_AFTER_MS = "retry-after-ms"
    """What a 429 tells in `retry-after-ms`, and rounded up to seconds in `retry-after` (1000)."""
    WRONG_KEY = "401"
    """401 invalid_api_key on every attempt, which echoes the key's ends as OpenAI does."""
    LACKS_SCOPE = "401-scopes"
    """401 as a restricted key gets for an operation that is not among its scopes."""
    ERROR = "500"
    """500 server_error."""
    OVERLOADED = "503"
    """503 service_unavailable."""
    MODERATION = "moderation-400"
    """400 invalid_prompt, as OpenAI's own safety system answers."""
    CONTEXT = "context-400"
    """400 context_length_exceeded."""
    SLOW_FIRST_BYTE = "slow-first-byte"
    """NUMBER milliseconds (1000) before the status line, of errors too."""
    SLOW_STREAM = "slow-stream"
    """NUMBER milliseconds (100) before each event of a stream but the first."""
    CUT = "cut"
    """The connection closes in the middle of the event after NUMBER (2) whole ones, or of a unary body."""
    END_WITHOUT_DONE = "end-without-done"
    """The stream ends properly, as HTTP, without `[DONE]` or `response.completed`."""
    MALFORMED_JSON = "malformed-json"
    """The second event of a stream, or a unary body, is half a JSON document; all else is in order."""
    ERROR_EVENT = "error-event"
    """After NUMBER (2) events the stream brings OpenAI's error event and ends."""
    UNKNOWN_EVENT = "unknown-event"
    """A comment line and an event of an unknown type before every event."""
    HUGE = "huge"
    """One word of NUMBER bytes (4 MiB) is the whole answer."""
    WORDS = "words"
    """The answer has exactly NUMBER words, hence that many content events (6 more than it echoes)."""
    TIMESTAMPS = "timestamps"
    """A comment `: t=NANOSECONDS` (CLOCK_MONOTONIC) opens every event: when the socket got it."""


_DEFAULTS: Mapping[Override, int] = {
    Override.RATE_LIMIT_THEN_OK: 1,
    Override.RETRY_AFTER_MS: 1000,
    Override.SLOW_FIRST_BYTE: 1000,
    Override.SLOW_STREAM: 100,
    Override.CUT: 2,
    Override.ERROR_EVENT: 2,
    Override.HUGE: 4 * 1024 * 1024,
    Override.WORDS: 12,
}
_NUMBER_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Overrides:
    """The overrides of one request, parsed."""

    numbers: Mapping[Override, int] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, override: Override) -> int | None:
        """The override's number, its default where none was given, or None where the request has no such
        override.
        """
        return self.numbers.get(override)

    def __contains__(self, override: Override) -> bool:
        return override in self.numbers


NO_OVERRIDES = Overrides()


@lru_cache(maxsize=1024)
def parse(specification: str) -> Overrides:
    """Reads `item *("/" item)`. Raises ApiError 400 naming the item it does not know.

    >>> parse("slow-stream:20/cut").get(Override.CUT)
    2
    """
    numbers: dict[Override, int] = {}
    for item in filter(None, specification.split("/")):
        name, colon, number = item.partition(":")
        try:
            override = Override(name)
        except ValueError:
            raise _unknown(item) from None
        if colon and not (number.isascii() and number.isdigit() and len(number) <= _NUMBER_DIGITS):
            raise _unknown(item)
        numbers[override] = int(number) if colon else _DEFAULTS.get(override, 1)
    return Overrides(MappingProxyType(numbers)) if numbers else NO_OVERRIDES


@lru_cache(maxsize=1024)
def split_model(model: str) -> tuple[str, str]:
    """A model's name without its overrides, and the overrides' specification.

    >>> split_model("gpt-4o-mini-sim-cut/slow-stream:5")
    ('gpt-4o-mini', 'cut/slow-stream:5')
    >>> split_model("sim-500"), split_model("gpt-4o")
    (('', '500'), ('gpt-4o', ''))
    """
    if model.startswith(_MARK):
        return "", model[len(_MARK) :]
    base, _, specification = model.partition("-" + _MARK)
    return base, specification


def _unknown(item: str) -> ApiError:
    known = ", ".join(Override)
    return ApiError(
        400,
        f"The simulator does not know the override '{item}'. It knows: {known}.",
        code="unknown_simulator_knob",
    )
