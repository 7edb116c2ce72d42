"""The vocabularies inside the bpe-openai wheel: texts become tokens, and tokens texts.

Knows: the wheel's native part and its data. Must not know: models, requests.
The wheel's own Python part parses three vocabularies into dictionaries when it is imported, half a second and
100 MB a process; what encodes is the native part alone. A test holds both to the same answers.
"""

from __future__ import annotations

import gzip
from binascii import a2b_base64
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

_SPECIAL = {
    "o200k_base": {199_999: b"<|endoftext|>", 200_018: b"<|endofprompt|>"},
    "cl100k_base": {
        100_257: b"<|endoftext|>",
        100_258: b"<|fim_prefix|>",
        100_259: b"<|fim_middle|>",
        100_260: b"<|fim_suffix|>",
        100_276: b"<|endofprompt|>",
    },
}
"""OpenAI's tokens that no text encodes to (tiktoken_ext/openai_public.py)."""


class Encoding:
    """One vocabulary; safe for concurrent use."""

    def __init__(self, name: str) -> None:
        """Raises ImportError where the wheel has no such vocabulary."""
        self._native = _native().tokenizer_for_encoding(name)
        self._name = name

    def count(self, text: str) -> int:
        """How many tokens a text is, special tokens taken as text. Linear; 1 KB takes about 20 µs."""
        try:
            return int(self._native.count(text))
        except UnicodeEncodeError:
            return int(self._native.count(_whole(text)))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, as `count` counts them."""
        try:
            return list(self._native.encode(text))
        except UnicodeEncodeError:
            return list(self._native.encode(_whole(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens. Raises KeyError where one is not of this vocabulary."""
        pieces = self.pieces
        return b"".join([pieces[token] for token in tokens]).decode("utf-8", "replace")

    @cached_property
    def pieces(self) -> dict[int, bytes]:
        """What each token stands for; a tenth of a second, once."""
        lines = gzip.decompress((_folder() / "data" / f"{self._name}.tiktoken.gz").read_bytes()).splitlines()
        parts = (line.split(b" ") for line in lines if line)
        return {int(rank): a2b_base64(piece) for piece, rank in parts} | _SPECIAL[self._name]


@lru_cache(maxsize=8)
def encoding(name: str) -> Encoding:
    """The vocabulary of this name, loaded once."""
    return Encoding(name)


def load_vocabularies() -> None:
    """Loads what today's models use, a third of a second once: call it before the first call waits for it."""
    for name in _SPECIAL:
        loaded = encoding(name)
        loaded.count("a")
        loaded.decode([0])


def _whole(text: str) -> str:
    """Lone surrogates, which have no UTF-8 form, as the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _folder() -> Path:
    spec = find_spec("bpe_openai")  # finds the package without running it
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("bpe-openai is not installed: install the broker's dependencies again")
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=1)
def _native() -> Any:
    names = [f"_bindings{suffix}" for suffix in EXTENSION_SUFFIXES]
    found = next((path for name in names if (path := _folder() / name).exists()), None)
    if found is None:
        raise ImportError("bpe-openai has no native part: install the broker's dependencies again")
    loader = ExtensionFileLoader("bpe_openai._bindings", str(found))
    module = module_from_spec(ModuleSpec(loader.name, loader, origin=str(found)))
    loader.exec_module(module)
    return module
