"""What policy decided.

Knows: the words of a decision. Must not know: engines, and how their answers are read (`answers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.model.change import Change
from broker.model.limit import Limit
from broker.model.pool import ANYWHERE, Placement
from broker.model.subject import Grant


class Action(StrEnum):
    """What is done about a finding. NONE: policy was not asked about its rule."""

    BLOCK = "block"
    REDACT = "redact"
    ALLOW = "allow"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """Which policies decided: the revision their author named, and the SHA-256 (hex) of their contents."""

    revision: str
    sha256: str


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

    @property
    def reprices(self) -> bool:
        """Whether anything changes that the worst case depends on: not whether OpenAI keeps the reply."""
        return bool(self.remove or self.model or self.set.keys() - {"store"})


@dataclass(frozen=True, slots=True)
class CallDecision:
    """May this call go. Everything after `content` means something only where `allow` is true.

    `limits` are charged under keys that begin with the account policy named; `models` are the patterns
    that a listing may show; `cut` the rules that end a reply, `redact` those whose matches are taken out of
    it; `credential` the pool that a key is leased from, `placement` which of its keys may serve; `alert` what
    people are told of this call. `changes` are what would make a denied call an allowed one. An equal
    question may be answered the same for `cache_for` seconds. `owner` is who owns what the call makes, None
    the subject; `lent` are ids of objects that it may name besides its owner's; `unseen_tokens` are reserved
    at most for input that nobody can count beforehand.
    """

    allow: bool
    rule: str
    reason: str
    policy: PolicyVersion
    content: Content
    shape: Shape = field(default_factory=Shape)
    limits: tuple[Limit, ...] = ()
    models: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    credential: str = ""
    placement: Placement = ANYWHERE
    alert: str | None = None
    changes: tuple[Change, ...] = ()
    cache_for: int = 0
    owner: str | None = None
    lent: frozenset[str] = frozenset()
    unseen_tokens: int | None = None

    def cuts(self, rule: str) -> bool:
        """Whether a reply in which `rule` finds something is cut there: by name, family (`secret.*`) or `*`.

        >>> decision = CallDecision(True, "r", "", PolicyVersion("", ""), Content(), cut=("secret.*",))
        >>> decision.cuts("secret.aws"), decision.cuts("secrets"), decision.cuts("pii.iban")
        (True, False, False)
        """
        return _named(rule, self.cut)

    @property
    def filters(self) -> bool:
        """Whether anything that is found in a reply has consequences."""
        return bool(self.cut or self.redact)

    def watches(self, rule: str) -> bool:
        """Whether what `rule` finds in a reply has consequences: the reply is cut, or loses the match."""
        return _named(rule, self.cut) or _named(rule, self.redact)

    def redacts(self, rule: str) -> bool:
        """Whether what `rule` finds in a reply is taken out of it. What is cut need not be."""
        return _named(rule, self.redact) and not self.cuts(rule)


@dataclass(frozen=True, slots=True)
class TokenDecision:
    """May this subject have a token, and what it confers. `grant` is None exactly where `allow` is false."""

    allow: bool
    rule: str
    reason: str
    policy: PolicyVersion
    grant: Grant | None
    changes: tuple[Change, ...] = ()
    alert: str | None = None


@dataclass(frozen=True, slots=True)
class AdminDecision:
    """May this subject do this to the broker itself."""

    allow: bool
    rule: str
    reason: str
    policy: PolicyVersion


def _named(rule: str, entries: tuple[str, ...]) -> bool:
    return any(
        entry in ("*", rule) or (entry.endswith(".*") and rule.startswith(entry[:-1])) for entry in entries
    )
