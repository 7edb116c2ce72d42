"""What policy decided, and the strict reading of what an engine answered.

Knows: the result shapes of `policies/schema/*.result.json`. Must not know: which engine answered. No engine
is trusted to have answered well: a missing, unknown or mistyped field is an error and never a `false`, an
empty list or a default that lets something through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.model.answer import Answer
from broker.model.charge import Unit
from broker.model.subject import Grant

_CUT = re.compile(r"(?:[A-Za-z0-9_.-]+|\*|[A-Za-z0-9_.-]+\.\*)\Z")


class Action(StrEnum):
    """What is done about a finding. NONE: policy was not asked about its rule."""

    BLOCK = "block"
    REDACT = "redact"
    ALLOW = "allow"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Content:
    """What policy says about each rule that found something."""

    block: frozenset[str] = frozenset()
    redact: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()

    def action(self, rule: str) -> Action:
        """The action for `rule`.

        >>> Content(redact=frozenset({"pii.iban"})).action("pii.iban").value
        'redact'
        """
        if rule in self.block:
            return Action.BLOCK
        if rule in self.redact:
            return Action.REDACT
        return Action.ALLOW if rule in self.allow else Action.NONE


@dataclass(frozen=True, slots=True)
class Shape:
    """How the request changes on its way: fields set, fields removed, the model pinned. Usually nothing."""

    set: Mapping[str, object] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `cap` of `unit` in any `window_seconds`, counted under `key`."""

    key: str
    unit: Unit
    cap: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class CallDecision:
    """May this call go. Everything after `content` means something only where `allow` is true.

    `limits` are charged under keys that begin with the account policy named; `models` are the patterns
    that a listing may show; `cut` the rules that end a reply; `credential` the key to lease.
    """

    allow: bool
    rule: str
    reason: str
    revision: str
    content: Content
    shape: Shape = field(default_factory=Shape)
    limits: tuple[Limit, ...] = ()
    models: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    credential: str = ""

    def cuts(self, rule: str) -> bool:
        """Whether a reply in which `rule` finds something is cut there: by name, family (`secret.*`) or `*`.

        >>> decision = CallDecision(True, "r", "", "", Content(), cut=("secret.*",))
        >>> decision.cuts("secret.aws"), decision.cuts("secrets"), decision.cuts("pii.iban")
        (True, False, False)
        """
        return any(
            entry in ("*", rule) or (entry.endswith(".*") and rule.startswith(entry[:-1]))
            for entry in self.cut
        )


@dataclass(frozen=True, slots=True)
class TokenDecision:
    """May this subject have a token, and what it confers. `grant` is None exactly where `allow` is false."""

    allow: bool
    rule: str
    reason: str
    revision: str
    grant: Grant | None


@dataclass(frozen=True, slots=True)
class AdminDecision:
    """May this subject do this to the broker itself."""

    allow: bool
    rule: str
    reason: str
    revision: str


def parse_call_decision(result: object, revision: str, *, found: Iterable[str] = ()) -> CallDecision:
    """Reads the result of `data.broker.calls.decision`.

    `found` are the rules policy was told of: an allowing result must say something about each. Raises
    BrokerError POLICY_ENGINE_UNAVAILABLE, naming the field, for everything that is not exactly a decision.
    """
    answer = Answer("broker.calls", result)
    allow, rule, reason = answer.verdict()
    content = _content(answer)
    if not allow:
        answer.end()
        return CallDecision(allow, rule, reason, revision, content)
    if content.block:
        answer.refuse("allow", "is true although `content` blocks")
    for name in found:
        if content.action(name) is Action.NONE:
            answer.refuse("content", "does not judge every rule that found something")
    decision = CallDecision(
        allow,
        rule,
        reason,
        revision,
        content,
        shape=_shape(answer),
        limits=_limits(answer),
        models=tuple(sorted(answer.strings("models"))),
        cut=_cut(answer),
        credential=answer.text("credential"),
    )
    answer.end()
    return decision


def parse_token_decision(result: object, revision: str) -> TokenDecision:
    """Reads the result of `data.broker.tokens.decision`. Raises as `parse_call_decision` does."""
    answer = Answer("broker.tokens", result)
    allow, rule, reason = answer.verdict()
    grant = _grant(answer) if allow else None
    answer.end()
    return TokenDecision(allow, rule, reason, revision, grant)


def parse_admin_decision(result: object, revision: str) -> AdminDecision:
    """Reads the result of `data.broker.admin.decision`. Raises as `parse_call_decision` does."""
    answer = Answer("broker.admin", result)
    allow, rule, reason = answer.verdict()
    answer.end()
    return AdminDecision(allow, rule, reason, revision)


_NOTHING_FOUND = Content()
_UNSHAPED = Shape()
_UNITS = {unit.value: unit for unit in Unit}


def _content(answer: Answer) -> Content:
    actions: dict[str, object] = answer.take("content", dict)
    if not actions:
        return _NOTHING_FOUND
    if not all(
        type(rule) is str and action in ("block", "redact", "allow") for rule, action in actions.items()
    ):
        answer.refuse("content", "holds an action that is none of block, redact, allow")
    block, redact, allow = (
        frozenset(rule for rule, action in actions.items() if action == wanted)
        for wanted in ("block", "redact", "allow")
    )
    return Content(block, redact, allow)


def _shape(answer: Answer) -> Shape:
    """The one object whose fields may be left out: an empty shape changes nothing."""
    shape = answer.inner("shape")
    changed = shape.take("set", dict) if shape.has("set") else {}
    removed = shape.strings("remove") if shape.has("remove") else ()
    model = None if shape.null("model") or not shape.has("model") else shape.text("model")
    shape.end()
    return Shape(changed, removed, model) if changed or removed or model else _UNSHAPED


def _limits(answer: Answer) -> tuple[Limit, ...]:
    account = answer.text("account")

    def read(name: str, limit: Answer) -> Limit:
        unit = _UNITS.get(limit.take("unit", str))
        if unit is None:
            limit.refuse("unit", "is none of requests, tokens, micro_usd")
        cap, window = limit.whole("cap", 0), limit.whole("window_seconds", 1)
        limit.end()
        return Limit(f"{account} {name}", unit, cap, window)

    return answer.each("limits", read)


def _cut(answer: Answer) -> tuple[str, ...]:
    response = answer.inner("response")
    cut = response.strings("cut")
    if not all(_CUT.match(entry) for entry in cut):
        response.refuse("cut", "holds something else than rules, `family.*` and `*`")
    response.end()
    return cut


def _grant(answer: Answer) -> Grant:
    grant = answer.inner("grant")
    scope = tuple(sorted(set(grant.strings("scope"))))
    if not scope or any(" " in entry for entry in scope):
        grant.refuse("scope", "is empty or holds an entry with a space")
    ttl = grant.whole("ttl_seconds", 1)
    user = None if grant.null("user") else grant.text("user")
    ceiling = None if grant.null("max_tokens") else grant.whole("max_tokens", 0)
    grant.end()
    return Grant(scope, ttl, user, ceiling)
