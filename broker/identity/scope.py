"""The scope grammar: space-separated `<operation>` or `<operation>:<model or pattern>`.

Knows: how a scope reads and what it covers. Must not know: tokens or policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from broker.errors import BrokerError, Kind
from broker.model.operation import AdminAction, Operation
from broker.model.wildcard import matches

MAX_SCOPES = 64
MAX_SCOPE_CHARACTERS = 4096
"""Of a whole asked scope; a token of 4 KiB would not hold more."""
MAX_STARS = 3
"""Of one pattern. Policies hand an asked pattern to `glob.match`, which takes longer with each star."""
_MODEL = re.compile(r"[A-Za-z0-9._:/*-]{1,128}\Z")
_OPERATIONS = frozenset(Operation) | frozenset(AdminAction)


def parse_scope(text: str) -> tuple[str, ...]:
    """Splits and checks an asked scope (RFC 6749, 3.3). Raises BAD_REQUEST, param `scope`.

    >>> parse_scope("chat:gpt-4o embeddings:* models")
    ('chat:gpt-4o', 'embeddings:*', 'models')
    """
    if len(text) > MAX_SCOPE_CHARACTERS:
        raise _malformed(f"more than {MAX_SCOPE_CHARACTERS} characters")
    entries = tuple(dict.fromkeys(text.split()))
    if len(entries) > MAX_SCOPES:
        raise _malformed(f"more than {MAX_SCOPES} scopes")
    for entry in entries:
        operation, colon, model = entry.partition(":")
        if operation not in _OPERATIONS:
            raise _malformed("an unknown operation")
        if colon and not _MODEL.match(model):
            raise _malformed("a model pattern with characters outside letters, digits and . _ : / * -")
        if has_many_stars(model):
            raise _malformed(f"a model pattern with more than {MAX_STARS} stars")
    return entries


def has_many_stars(pattern: str) -> bool:
    """Whether a policy that hands this to `glob.match` could take too long over it."""
    return pattern.count("*") > MAX_STARS


def split_entry(entry: str) -> tuple[str, str]:
    """`chat:gpt-4o` → `("chat", "gpt-4o")`; without a model the pattern is `*`."""
    operation, _, model = entry.partition(":")
    return operation, model or "*"


def covers(scope: Iterable[str], operation: str, model: str | None) -> bool:
    """Whether one entry of `scope` allows `operation` on `model`; no model needs no pattern.

    >>> covers(("chat:gpt-4o*",), "chat", "gpt-4o-mini"), covers(("chat:gpt-4o",), "chat", "gpt-4o-mini")
    (True, False)
    """
    for name, pattern in _split(tuple(scope)):
        if name == operation and (model is None or matches(pattern, model)):
            return True
    return False


@lru_cache(maxsize=1024)
def _split(scope: tuple[str, ...]) -> list[tuple[str, str]]:
    """The entries of a token's scope, which all of its calls share."""
    return [split_entry(entry) for entry in scope]


def _malformed(what: str) -> BrokerError:
    return BrokerError(
        Kind.BAD_REQUEST,
        f"The scope holds {what}.",
        param="scope",
        remedy="Write scopes as `operation` or `operation:model`, e.g. `chat:gpt-4o embeddings:*`.",
    )
