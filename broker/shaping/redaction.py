"""A whole reply without what policy takes out of it.

Knows: JSON replies, and where OpenAI says the same text once more. Must not know: rules, records, streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker import strictjson
from broker.model.finding import Finding
from broker.prefilter.redact import covered, redact
from broker.shaping.reply import MAX_DEPTH
from broker.shaping.request import encode

BODY = "body"
"""The member that a reply stands in which is no JSON object."""

_LOG_PROBABILITIES = "logprobs"
_SPELLING = frozenset({"content", "refusal", "token", "tokens"})


def members(document: object, body: bytes) -> Mapping[str, object]:
    """What a whole reply says, whatever it is: JSON, or the text of somebody between."""
    if isinstance(document, dict):
        return document
    return {BODY: body.decode("utf-8", "replace") if document is None else document}


def redacted_reply(document: object, body: bytes, findings: Sequence[Finding]) -> tuple[object, bytes]:
    """The reply with `[REDACTED:rule]` in place of every finding, parsed (None: no JSON) and as bytes.

    `findings` are those of its `members`. Types stay, JSON in a string stays JSON (`prefilter.redact`). Log
    probabilities spell the text token by token, also what was taken out of it: they go with it.
    """
    if document is None:
        return None, covered(body.decode("utf-8", "replace"), findings).encode()
    redacted = redact(members(_exact(document, body), body), findings)
    taken = _unspelled(redacted if isinstance(document, dict) else redacted[BODY])
    return taken, encode(taken)


def _exact(document: object, body: bytes) -> object:
    """The document with its integers beyond 64 bits as they were written."""
    try:
        return strictjson.parse(body, max_depth=MAX_DEPTH, bounds=None)
    except strictjson.StrictJsonError:  # a number beyond a double, say
        return document


def _unspelled(value: object) -> object:
    """The value without log probabilities: null for an object of them, as where none were asked for."""
    if isinstance(value, dict):
        return {name: _of_member(name, inner) for name, inner in value.items()}
    return [_unspelled(inner) for inner in value] if isinstance(value, list) else value


def _of_member(name: str, value: object) -> object:
    if name != _LOG_PROBABILITIES or not _spells(value):
        return _unspelled(value)
    return None if isinstance(value, dict) else []


def _spells(value: object) -> bool:
    """Whether this is OpenAI's list of tokens, and not a member of that name in a schema or in arguments."""
    if isinstance(value, list):
        return any(map(_spells, value))
    return isinstance(value, dict) and not _SPELLING.isdisjoint(value)
