"""The scope grammar: space-separated `<operation>` or `<operation>:<model or pattern>`.

Knows: how a scope reads and what it covers. Must not know: tokens or policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from broker.errors import BrokerError, Kind
from broker.model.operation import AdminAction, Operation

MAX_SCOPES = 64
_MODEL = re.compile(r"[A-Za-z0-9._:/*-]{1,128}\Z")
_OPERATIONS = frozenset(Operation) | frozenset(AdminAction)


def parse_scope(text: str) -> tuple[str, ...]:
    """Splits and checks an asked scope (RFC 6749, 3.3). Raises BAD_REQUEST, param `scope`.

    >>> parse_scope("chat:gpt-4o embeddings:* models")
    ('chat:gpt-4o', 'embeddings:*', 'models')
    """
    entries = tuple(dict.fromkeys(text.split()))
    if len(entries) > MAX_SCOPES:
        raise _malformed(f"more than {MAX_SCOPES} scopes")
    for entry in entries:
        operation, colon, model = entry.partition(":")
        if operation not in _OPERATIONS:
            raise _malformed("an unknown operation")
        if colon and not _MODEL.match(model):
            raise _malformed("a model pattern with characters outside letters, digits and . _ : / * -")
    return entries


def split_entry(entry: str) -> tuple[str, str]:
    """`chat:gpt-4o` → `("chat", "gpt-4o")`; without a model the pattern is `*`."""
    operation, _, model = entry.partition(":")
    return operation, model or "*"


def covers(scope: Iterable[str], operation: str, model: str | None) -> bool:
    """Whether one entry of `scope` allows `operation` on `model`; no model needs no pattern.

    >>> covers(("chat:gpt-4o*",), "chat", "gpt-4o-mini"), covers(("chat:gpt-4o",), "chat", "gpt-4o-mini")
    (True, False)
    """
    for entry in scope:
        name, pattern = split_entry(entry)
        if name == operation and (model is None or matches(pattern, model)):
            return True
    return False


def matches(pattern: str, model: str) -> bool:
    """Whether `model` fits `pattern`; `*` stands for any run of characters and nothing else is special."""
    return pattern in ("*", model) or ("*" in pattern and _glob(pattern).match(model) is not None)


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)) + r"\Z", re.DOTALL)


def _malformed(what: str) -> BrokerError:
    return BrokerError(
        Kind.BAD_REQUEST,
        f"The scope holds {what}.",
        param="scope",
        remedy="Write scopes as `operation` or `operation:model`, e.g. `chat:gpt-4o embeddings:*`.",
    )
