"""The Rego that the embedded engine and OPA agree on; anything else is refused when it is loaded.

Knows: the text of modules. Must not know: the engine. rego-cpp answers an unknown built-in, at the moment a
call needs it, with an error, and some known ones with another result than OPA's (`max([9, 10])` is 9).
`tests/policy` holds every built-in named here against what OPA answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from broker.adapters.policyfiles.source import Module, unusable

# Not among them although it agrees: time.weekday frees a foreign pointer and aborts the process where another
# library brought its own libstdc++ first (aiohttp, hyperscan or protobuf imported before regopy).
# fmt: off
COMMON_BUILTINS = frozenset(
    {
        "abs", "array.concat", "array.reverse", "array.slice", "base64.encode", "base64url.encode",
        "base64url.encode_no_pad", "bits.and", "bits.lsh", "bits.negate", "bits.or", "bits.rsh",
        "bits.xor", "ceil", "concat", "contains", "count", "crypto.hmac.sha256", "crypto.md5",
        "crypto.sha1", "crypto.sha256", "endswith", "floor", "format_int", "glob.match", "glob.quote_meta",
        "graph.reachable", "hex.encode", "indexof", "indexof_n", "intersection", "is_array", "is_boolean",
        "is_null", "is_number", "is_object", "is_set", "is_string", "json.filter", "json.marshal",
        "json.patch", "json.remove", "lower", "numbers.range", "numbers.range_step",
        "object.filter", "object.get", "object.keys", "object.remove", "object.subset", "product",
        "regex.find_n", "regex.is_valid", "regex.match", "regex.replace", "regex.split", "replace",
        "round", "semver.is_valid", "split", "sprintf", "startswith",
        "strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.replace_n",
        "strings.reverse", "substring", "sum", "time.add_date", "time.clock", "time.date",
        "time.parse_duration_ns", "to_number", "trim", "trim_left", "trim_prefix",
        "trim_right", "trim_space", "trim_suffix", "type_name", "union", "units.parse",
        "units.parse_bytes", "upper", "walk",
    }
)
# fmt: on
_KEYWORDS = frozenset({"if", "in", "not", "some", "every", "else", "with", "as", "contains", "set"})
_OPAQUE = re.compile(r'#[^\n]*|`[^`]*`|"(?:\\.|[^"\\\n])*"')
_CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\(")
_DEFINED = re.compile(r"^(?:default\s+)?([A-Za-z_][\w.]*)\(", re.MULTILINE)
_IMPORTED = re.compile(r"^import\s+data(?:\.(\w+))+(?:\s+as\s+(\w+))?", re.MULTILINE)
_INPUT = re.compile(r"(?<![\w.])input((?:\.[A-Za-z_]\w*)*)(?!\w)")

_PATTERN_FOLLOWS = ("regex.match(", "regex.is_valid(")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is outside the dialect: where it begins in the text, what it is, and what might be meant."""

    offset: int
    what: str
    meant: str = ""

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return f"{self.meant} {INSTEAD}".lstrip()


def check(module: Module, also: Iterable[Foreign] = ()) -> None:
    """Raises POLICY_ENGINE_UNAVAILABLE, with file and line, for what is outside the dialect, or in `also`."""
    for found in (*foreign(module), *also):
        line = module.text.count("\n", 0, found.offset) + 1
        raise unusable(f"{module.name}:{line} {found.what}.", found.remedy)


def foreign(module: Module) -> Iterator[Foreign]:
    """All that is outside the dialect."""
    code = code_of(module)
    own = set(_DEFINED.findall(code)) | _KEYWORDS
    aliases = {alias or last for last, alias in _IMPORTED.findall(code)} | {"data"}
    for call in _CALL.finditer(code):
        name = call[1]
        if name in COMMON_BUILTINS or name in own or ("." in name and name.split(".")[0] in aliases):
            continue
        what = (
            f"uses the built-in `{name}`, which does not exist or is answered differently by the two engines"
        )
        yield Foreign(call.start(), what, did_you_mean(name, COMMON_BUILTINS | own))
    for literal in _OPAQUE.finditer(module.text):
        if _is_foreign(literal[0], module.text[: literal.start()]):
            what = (
                "uses a string with an escape, a quote, an expression or a format other than %s, %v and %%, "
                "which the two engines read differently"
            )
            yield Foreign(literal.start(), what)


INSTEAD = "Give the fact in data.json or in the input instead, or run OPA itself."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy that names what is spelt almost like it, or an empty string.

    >>> did_you_mean("contians", COMMON_BUILTINS)
    'Did you mean `contains`?'
    """
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"Did you mean `{close[0]}`?" if close else ""


def _is_foreign(literal: str, before: str) -> bool:
    """The engine compares strings as they are escaped, and `encoding` hands it none that needs an escape."""
    if literal.startswith("#"):
        return False
    if before.endswith("$"):  # a template string
        return True
    if before.endswith("sprintf(") and "%" in re.sub("%[%sv]", "", literal):  # it cuts %d to 32 bits
        return True
    if literal.startswith('"'):
        return "\\" in literal
    return '"' in literal or ("\\" in literal and not before.endswith(_PATTERN_FOLLOWS))


def parts_read(modules: Iterable[Module]) -> tuple[Path, ...]:
    """The parts of `input` that the modules can read, none inside another: all that the engine must be given.
    What is mentioned most comes first, for the engine finds a key by walking the keys before it.

    Every mention in code counts, and one that is not a plain dotted path counts as all that is below it, so
    that nothing a policy can reach is ever left out. Comments and strings reach nothing: the dialect has no
    template strings.

    >>> parts_read([Module("x", 'p := input.call.model == input.call["x"]  # input.v')])
    (('call',),)
    >>> parts_read([Module("x", "p := input[name]")])
    ((),)
    """
    seen = Counter(path for module in modules for _, path in input_mentions(code_of(module)))
    widest = [path for path in seen if not any(path[:end] in seen for end in range(len(path)))]
    return tuple(sorted(widest, key=lambda path: (-seen[path], path)))


@lru_cache(maxsize=256)
def code_of(module: Module) -> str:
    """The text with comments and strings blanked; offsets and lines stay."""
    return _OPAQUE.sub(_blank, module.text)


def outline_of(module: Module) -> str:
    """The text with comments blanked, and each string as so many quotation marks; offsets and lines stay."""
    return _OPAQUE.sub(lambda match: _blank(match) if match[0][0] == "#" else _quoted(match), module.text)


def line_of(text: str, offset: int) -> int:
    """The line, counted from 1, of a byte offset into `text`."""
    return text.encode()[:offset].count(b"\n") + 1


def input_mentions(code: str) -> Iterator[tuple[int, Path]]:
    """Where each mention of `input` begins, and its dotted path."""
    for mention in _INPUT.finditer(code):
        yield mention.start(), tuple(mention[1].split(".")[1:])


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _quoted(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", '"', match[0])
