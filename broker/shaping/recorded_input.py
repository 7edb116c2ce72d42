"""What the log keeps of the policy input, so that another policy can be asked the same question later, and of
what the rules found.

Knows: which strings of an input are the caller's own. Must not know: the log. What could be a text in
disguise is not kept: a name that is no plain word is left out, so is a number as long as a card's, and the
caller's model, user and purpose are given as the record has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import orjson

from broker.model.decision import Content
from broker.model.finding import Finding
from broker.model.record import RecordedFinding

LONGEST_BYTES = 6 * 1024
"""A longer input is not kept: an entry has 16 KiB at most, and no honest call needs that much."""
_LONG_NUMBER = 10**11
_MAX_LOCATION = 256
_PLAIN = re.compile(r"[a-z][A-Za-z_]{0,30}\Z")


def recorded(document: Mapping[str, object]) -> str | None:
    """The input as compact sorted JSON, or None where it is too long."""
    return _if_short(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def _if_short(text: bytes) -> str | None:
    return text.decode() if len(text) <= LONGEST_BYTES else None


def recorded_wish(
    document: Mapping[str, object], own: Mapping[str, str | None], known: Callable[[str], bool]
) -> str | None:
    """The input of a token request; `own` are its `user` and `purpose` as a record may hold them. `known`
    says which operations and models are names that exist; what is asked beyond them is kept as `?`, which no
    policy grants.
    """
    request = document["request"]
    if not isinstance(request, Mapping):
        return None
    scope = [
        {name: value if value is None or known(value) else "?" for name, value in asked.items()}
        for asked in request["scope"]
    ]
    return recorded({**document, "request": {**request, **own, "scope": scope}})


def recorded_call(
    document: Mapping[str, object],
    own: Mapping[str, object],
    found: Collection[str] = (),
    as_bytes: bytes | None = None,
) -> str | None:
    """The input of a call; `own` are the caller's `model`, `user` and `purpose` as a record may hold them,
    `found` the fields in which a rule found something. `as_bytes` is the document as sorted JSON, where that
    is known: most are kept as they are.

    >>> call = {"model": "m", "fields": ["n", "My secret!"], "parameters": {"n": 2, "My secret!": 1}}
    >>> recorded_call({"call": call}, {"model": "m"})
    '{"call":{"fields":["n"],"model":"m","parameters":{"n":2}}}'
    """
    call = document["call"]
    if not isinstance(call, Mapping):
        return None
    kept = {
        **call,
        **own,
        "fields": [name for name in call["fields"] if _PLAIN.match(name)],
        "parameters": {
            name: value
            for name, value in call["parameters"].items()
            if _PLAIN.match(name) and name not in found and abs(value) < _LONG_NUMBER
        },
    }
    if as_bytes is not None and kept == call:
        return _if_short(as_bytes)
    return recorded({**document, "call": kept})


def recorded_findings(seen: Sequence[Finding], content: Content | None) -> tuple[RecordedFinding, ...]:
    """What the rules found in a call, each with what policy did about it."""
    actions = [content.action(each.rule).value if content else "none" for each in seen]
    return tuple(
        RecordedFinding(each.rule, each.location[:_MAX_LOCATION], action)
        for each, action in zip(seen, actions, strict=True)
    )


def masked(reach: str) -> str:
    """What a call reaches, without a name that the caller wrote."""
    kind, colon, _ = reach.partition(":")
    return f"{kind}:?" if colon else kind
