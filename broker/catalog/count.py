"""Token counts. Linear in the text.

Knows: how a request's texts become tokens. 1 KB takes about 20 µs: the caller runs large texts in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from broker.catalog.models import UNKNOWN, Model
from broker.catalog.vocabulary import encoding

_COUNTED = (
    "messages", "prompt", "input", "instructions", "instruction", "suffix", "tools", "functions", "text",
    "response_format",
)  # fmt: skip
_PARTED = frozenset({"messages", "input"})
_MEDIA = {  # by type of a part or item, what of it the model does not read as text
    "image_url": frozenset({"image_url"}),
    "input_image": frozenset({"image_url"}),
    "computer_screenshot": frozenset({"image_url"}),
    "image": frozenset({"url", "image_url", "data"}),
    "input_audio": frozenset({"input_audio"}),
    "file": frozenset({"file"}),
    "input_file": frozenset({"file_data", "file_url"}),
    "image_generation_call": frozenset({"result"}),
    "reasoning": frozenset({"encrypted_content"}),
    "compaction": frozenset({"encrypted_content"}),
    "compaction_summary": frozenset({"encrypted_content"}),
}
_NO_MEDIA: frozenset[str] = frozenset()
MEDIA_TOKENS = 1_500  # a high-detail image (OpenAI's vision guide); what reads as more: see `bounds.unseen`
_DEAREST_IMAGE = {"gpt-4o-mini": 48_169}  # 2,833 and 5,667 for each of 8 tiles, beyond its own window soon
_TILED = frozenset(  # 85 and 170 for each of 8 tiles, or less
    {"gpt-4o", "gpt-4o-2024-05-13", "gpt-4.1", "gpt-4-turbo", "gpt-5", "gpt-5.1", "o1", "o3"}
)
_PATCHED = frozenset({"gpt-4.1-mini", "gpt-4.1-nano", "gpt-5-mini", "gpt-5-nano", "o4-mini"})
_OF_PATCHES = 3_779  # 1,536 patches, 2.46 tokens each at most
_OF_ORIGINALS = 24_600  # 10,000 patches in the original detail of newer models, at the same
PER_MESSAGE = 4
REPLY_PRIMING = 3
_SLICE = 50_000  # characters that are counted at once


class Counted(NamedTuple):
    """The tokens of the `text` that a model reads, and how many images, sounds, files and encrypted items it
    reads beside it, whose tokens only upstream knows.
    """

    text: int = 0
    media: int = 0
    each: int = MEDIA_TOKENS

    @property
    def total(self) -> int:
        """All tokens, every one of `media` taken for `each`."""
        return self.text + self.media * self.each


def count_input(document: dict[str, object] | None, model: Model | None) -> Counted:
    """The tokens of everything in the request that a model reads."""
    if document is None:
        return Counted()
    texts: list[str] = []
    extra = media = 0
    for name in _COUNTED:
        if name in document:
            ids, unread = _read(document[name], texts, parted=name in _PARTED)
            extra, media = extra + ids, media + unread
    messages = document.get("messages")
    if isinstance(messages, list):
        extra += PER_MESSAGE * len(messages) + REPLY_PRIMING
    each = _DEAREST_IMAGE.get(model.name if model else "", MEDIA_TOKENS)
    return Counted(extra + _tokens("\n".join(texts), model), media, each)


def _tokens(text: str, model: Model | None) -> int:
    vocabulary = encoding((model or UNKNOWN).encoding)
    if len(text) <= _SLICE:
        return vocabulary.count(text)
    slices = (text[start : start + _SLICE] for start in range(0, len(text), _SLICE))
    return sum(vocabulary.count(part) for part in slices)


def image_at_most(model: Model | None) -> int:
    """The tokens of one image, whatever its size. Source: OpenAI's vision guide."""
    if model is None:
        return max(_DEAREST_IMAGE.values())
    known = MEDIA_TOKENS if model.name in _TILED else _OF_PATCHES if model.name in _PATCHED else None
    return _DEAREST_IMAGE.get(model.name, known or _OF_ORIGINALS)


def count_text(text: str, model: Model | None) -> int:
    """The tokens of one text, or more: a text too long to be counted at once has no more than its bytes."""
    if len(text) > _SLICE:
        return len(text.encode("utf-8", "replace"))
    return encoding((model or UNKNOWN).encoding).count(text)


def decode_tokens(model: Model | None, tokens: Sequence[int]) -> str | None:
    """The text of a token array, None where a token is not of this model's vocabulary."""
    try:
        return encoding((model or UNKNOWN).encoding).decode(tokens)
    except KeyError:
        return None


def encode_tokens(model: Model | None, text: str) -> list[int]:
    """The token array of a text, in this model's vocabulary."""
    vocabulary = encoding((model or UNKNOWN).encoding)
    slices = (text[start : start + _SLICE] for start in range(0, len(text), _SLICE))
    return [token for part in slices for token in vocabulary.encode(part)]


def _read(value: object, texts: list[str], *, parted: bool) -> tuple[int, int]:
    """Puts the texts of a value among `texts`. The tokens that stand as ids, and how much of it is no text: a
    `parted` value has such.

    >>> image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo", "detail": "low"}
    >>> _read([image, [1, 2]], texts := [], parted=True), texts
    ((2, 1), ['low', 'input_image'])
    """
    ids = unread = 0
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, list):
            if item and all(isinstance(token, int) for token in item):
                ids += len(item)
            else:
                stack.extend(item)
        elif isinstance(item, dict):
            kind = item.get("type") if parted else None
            media = _MEDIA.get(kind, _NO_MEDIA) if isinstance(kind, str) else _NO_MEDIA
            if not media:
                stack.extend(item.values())
                continue
            for key, child in item.items():
                if key in media and child is not None:
                    unread += 1
                else:
                    stack.append(child)
    return ids, unread
