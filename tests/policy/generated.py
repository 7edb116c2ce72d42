"""Input documents from a seed: mostly what the pipeline builds, with something odd here and there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from broker.model.operation import AdminAction, Operation
from tests.policy.documents import call, deed, wish

NAMES = ("assistant", "batch", "explorer", "operator", "auditor", "clerk", "night", "kiosk", "intruder")
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5", "text-embedding-3-small", "omni-moderation-latest", None)
USERS = (None, "carol", "nadia", "claims-7", "bob", "*", "spiffe://dev.broker/ns/demo/sa/batch")
RULES = (
    "secret.jwt",
    "pii.email",
    "pii.us_ssn",
    "topic.banned",
    "injection.phrase",
    "novel.rule",
    "bare",
    'q"uote.x',
)
REACHES: tuple[object, ...] = (
    [],
    ["store"],
    ["background", "tool:mcp"],
    ["tool:web_search"],
    ["?"],
    None,
    {},
    "store",
)
PURPOSES = (None, "", "because", "the claims site is down", "ünïcödé😀", 8)
TIMES: tuple[dict[str, object], ...] = (
    {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "11:43"},
    {"utc": "2026-11-24T17:59Z", "weekday": 2, "clock": "18:59"},
    {"utc": "2026-11-24T18:00Z", "weekday": 2, "clock": "19:00"},
    {"utc": "2026-11-28T08:00Z", "weekday": 6, "clock": "09:00"},
    {"utc": "2026-11-29T10:00Z", "weekday": 7, "clock": "11:00"},
    {"utc": "2026-11-24T07:00Z", "weekday": 2, "clock": "08:00"},
)
_PARAMETERS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "temperature")
_NUMBERS = (0, 1, 2, 4, 5, 9, 100, 1024, 4096, 4097, 2097153, 2**53, -1, 0.5, 1.5, 1.51, 256.0, 1e300)
_ODD: tuple[object, ...] = (
    "",
    "*",
    "gpt-4o*",
    'gpt"4o',
    "gpt\\4o",
    "gpt-4o\x00",
    "é😀",
    "ft:gpt-4o:acme::1",
    None,
    True,
    False,
    0,
    7,
    -3,
    2.5,
    [],
    ["gpt-4o"],
    {},
    {"gpt-4o": True},
)
_SCOPES = (None, "*", "gpt-4*", "gpt-4o", "gpt-5", "x", "*-small", "gpt-4o-2024-08-06")


@dataclass(frozen=True, slots=True)
class Generator:
    """Documents that are the same for the same seed."""

    chance: Random = field(default_factory=lambda: Random(4))  # noqa: S311 - repeatable, not secret

    def calls(self, count: int, *, odd: float) -> Iterator[dict[str, object]]:
        for _ in range(count):
            yield self._spoilt(self.call(), odd)

    def wishes(self, count: int, *, odd: float) -> Iterator[dict[str, object]]:
        for _ in range(count):
            yield self._spoilt(self._wish(), odd)

    def deeds(self, count: int, *, odd: float) -> Iterator[dict[str, object]]:
        actions = (*AdminAction, "policy.explain", "policy.read", "policy.shadow", "policy.reload", "")
        for _ in range(count):
            yield self._spoilt(deed(self.chance.choice(NAMES), self.chance.choice(actions)), odd)

    def call(self) -> dict[str, object]:
        """One call, with an estimate that may or may not belong to its parameters."""
        choose = self.chance.choice
        rules = self.chance.sample(RULES, choose((0, 0, 0, 0, 1, 2, 3)))
        operation = choose(("chat", "chat", "completions", "responses", *Operation))
        document = call(choose(NAMES), choose(MODELS), operation=operation, user=choose(USERS))
        severities = ("low", "medium", "high", "critical")
        return document | {
            "findings": [{"rule": rule, "severity": choose(severities), "location": "x"} for rule in rules],
            "time": dict(choose(TIMES)),
            "call": _object(document["call"])
            | {
                "parameters": self._parameters(),
                "purpose": choose(PURPOSES),
                "operation": operation,
                "reaches": choose(REACHES),
            },
            "estimate": _object(document["estimate"]) | {"tokens_out_max": choose((*_NUMBERS[:12], 16384))},
        }

    def _parameters(self) -> dict[str, object]:
        names = self.chance.sample(_PARAMETERS, self.chance.choice((0, 1, 2, 3)))
        return {name: self.chance.choice((*_NUMBERS, *_NUMBERS, True, False)) for name in names}

    def _wish(self) -> dict[str, object]:
        choose = self.chance.choice
        asked = [
            (choose((*Operation, *AdminAction, "chat", "chat")), choose(_SCOPES))
            for _ in range(choose((0, 0, 1, 1, 2, 3)))
        ]
        document = wish(choose(NAMES), *asked, ttl=choose((None, None, 1, 60, 900, 901, 3601, 0, -5, 10**9)))
        document["request"] = _object(document["request"]) | {"user": choose(USERS)}
        return document | {"time": dict(choose(TIMES))}

    def _spoilt(self, document: dict[str, object], share: float) -> dict[str, object]:
        """With this probability, one value somewhere is replaced by an odd one, or missing."""
        document = copy.deepcopy(document)
        if self.chance.random() >= share:
            return document
        node, key = self.chance.choice(list(_places(document)))
        if isinstance(node, dict) and self.chance.random() < 0.3:
            del node[key]  # type: ignore[arg-type]
        else:
            node[key] = self.chance.choice(_ODD)  # type: ignore[index]
        return document


def _object(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _places(value: object) -> Iterator[tuple[dict[str, object] | list[object], str | int]]:
    """Every value of a document, as what holds it and the key there."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in pairs:
            yield value, key
            yield from _places(child)
