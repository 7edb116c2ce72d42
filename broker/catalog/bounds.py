"""What bounds a call's answer, and what it makes the model read that nobody can count beforehand.

Knows: the request parameters of each operation, as OpenAI documents them. Must not know: prices, limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from broker.model.operation import TRAITS, Operation, bounds_sent

Document = Mapping[str, object]
_OF_RESPONSES = frozenset({Operation.RESPONSES, Operation.RESPONSES_COMPACT})
FREE_OF_CHARGE = frozenset(operation for operation in Operation if not TRAITS[operation].billed)
"""What OpenAI does not bill: to read, change or delete what is stored, to list, to moderate, to count."""
_CAPS = {operation: TRAITS[operation].bounds for operation in Operation}
_HELD = frozenset(filter(bounds_sent, Operation))
"""Where a token's bound is sent upstream, so that it holds."""
_COMPLETIONS_DEFAULT = 16  # OpenAI's documented default of max_tokens for /v1/completions
_REFERENCES = ("conversation", "web_search_options")
_PLAIN_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"})
_IMAGES = frozenset({"image_url", "input_image", "image_generation_call"})
_REFERENCE = "item_reference"
_CIPHERTEXT = frozenset({"reasoning", "compaction", "compaction_summary"})
_OF_CIPHERTEXT = 2  # characters of base64 a token at least: four of text, compressed to a third, and base64
_OF_SOUND = (
    32  # characters a token at least: MP3 has 1,000 bytes a second or more, of which OpenAI makes 10 tokens
)
_PLAIN_ITEMS = frozenset(
    {None, "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
_EXTRAS = frozenset(
    {
        *_REFERENCES,
        "previous_response_id",
        "prompt",
        "tools",
        "modalities",
        "prediction",
        "prompt_cache_options",
        "n",
        "best_of",
    }
)
_PLAIN_KEYS = frozenset({"role", "content", "name"})
_USUAL_TTL = "30m"
_CALLERS_TOOLS = frozenset({None, "function", "custom"})


class Answers(NamedTuple):
    """`shown` answers of `each` tokens at most; `extra` tokens more are billed and never shown (candidates of
    `best_of`, a prediction that was not met). `asked` is what the call itself asks for each, None: nothing.
    """

    each: int = 0
    shown: int = 0
    extra: int = 0
    asked: int | None = None

    @property
    def total(self) -> int:
        return self.each * self.shown + self.extra


NO_ANSWERS = Answers()


def answers(
    operation: Operation,
    document: Document,
    ceiling: int | None,
    longest: int,
    count: Callable[[object], int],
) -> Answers:
    """The bounds of a generating call. `longest` is the model's longest answer, `ceiling` the bound of the
    caller's token, which bounds nothing where nothing tells upstream of it; `count` the tokens of a value's
    texts.
    """
    asked = asked_output(operation, document)
    each = _COMPLETIONS_DEFAULT if asked is None and operation is Operation.COMPLETIONS else asked
    each = longest if each is None else each
    each = min(each, ceiling) if ceiling is not None and operation in _HELD else each
    if operation in _OF_RESPONSES:
        return Answers(each, 1, 0, asked)
    prompts, n = _prompts(operation, document), max(1, _whole(document.get("n")) or 1)
    best_of = _whole(document.get("best_of")) or n if operation is Operation.COMPLETIONS else n
    predicted = count(document["prediction"]) * n if isinstance(document.get("prediction"), dict) else 0
    return Answers(each, prompts * n, prompts * max(0, best_of - n) * each + predicted, asked)


def asked_output(operation: Operation, document: Document) -> int | None:
    """The longest answer that the call itself asks for."""
    caps = [cap for name in _CAPS[operation] if (cap := _whole(document.get(name))) is not None]
    return max(caps) if caps else None


class Unseen(NamedTuple):
    """Whether the call's input holds `any` that it does not show as text, and whether `audio` is of it.

    `blind`: some of it has no bound but the model's window: files, conversations, stored prompts, what
    OpenAI's own tools find, what nobody knows. Otherwise the `images`, and `opaque` tokens at most, are all,
    beside what it names of stored responses.
    """

    any: bool = False
    audio: bool = False
    blind: bool = False
    images: int = 0
    opaque: int = 0


def unseen(document: Document) -> Unseen:
    """What the model reads that is not in the call, or not as text."""
    tools = document.get("tools")
    found = [each for each in _parts(document) if each[0] not in _PLAIN_PARTS]
    bounds = [_bound(kind, part) for kind, part in found]
    blind = (
        None in bounds
        or any(document.get(name) is not None for name in _REFERENCES)
        or isinstance(document.get("prompt"), dict)
        or any(_type(tool) not in _CALLERS_TOOLS for tool in (tools if isinstance(tools, list) else ()))
    )
    return Unseen(
        bool(found) or blind or document.get("previous_response_id") is not None,
        any(kind == "input_audio" for kind, _ in found),
        blind,
        sum(kind in _IMAGES for kind, _ in found),
        sum(bound or 0 for bound in bounds),
    )


def is_ordinary(document: Document) -> bool:
    """Whether a call is text alone: nothing unseen, no tools, no audio, no prediction. Most calls are."""
    if not _EXTRAS.isdisjoint(document):
        return False
    for name in ("messages", "input"):
        items = document.get(name)
        for item in items if type(items) is list else ():
            if (
                type(item) is not dict
                or type(item.get("content")) is not str
                or not _PLAIN_KEYS.issuperset(item)
            ):
                return False
    return True


def keeps_longer(document: Document) -> bool:
    """Whether its input is to stay in the cache longer than usual (`prompt_cache_options`)."""
    options = document.get("prompt_cache_options")
    return isinstance(options, dict) and options.get("ttl") not in (None, _USUAL_TTL)


def speaks(document: Document) -> bool:
    """Whether audio is asked for."""
    modalities = document.get("modalities")
    return isinstance(modalities, list) and "audio" in modalities


def _bound(kind: str, part: Mapping[str, object]) -> int | None:
    """The tokens of a part at most, beside those of images and of what is stored; None: nobody knows."""
    if kind in _IMAGES or kind == _REFERENCE:
        return 0
    if kind in _CIPHERTEXT:  # without it, it is named by its id, or says all itself
        text = part.get("encrypted_content")
        return len(text) // _OF_CIPHERTEXT if isinstance(text, str) else 0
    if kind == "input_audio" and isinstance(sound := part.get("input_audio"), dict):
        data = sound.get("data")
        return len(data) // _OF_SOUND + 1 if isinstance(data, str) else None
    return None


def _parts(document: Document) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The types of the parts that messages and items consist of, with these."""
    for name in ("messages", "input"):
        items = document.get(name)
        for item in items if isinstance(items, list) else ():
            if not isinstance(item, dict):
                continue
            if (kind := _type(item)) not in _PLAIN_ITEMS:
                yield kind or "", item
            if item.get("audio") is not None:
                yield "audio", item
            for place in ("content", "output"):
                parts = item.get(place)
                for part in parts if isinstance(parts, list) else ():
                    yield _type(part) or "text", part if isinstance(part, dict) else {}


def _type(value: object) -> str | None:
    """The `type` of an object; none that is no word is known to anybody."""
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if kind is None or isinstance(kind, str) else "unknown"


def _prompts(operation: Operation, document: Document) -> int:
    prompts = document.get("prompt")
    if operation is not Operation.COMPLETIONS or not isinstance(prompts, list) or not prompts:
        return 1
    return 1 if isinstance(prompts[0], int) else len(prompts)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
