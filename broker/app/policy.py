"""The policy engine of a configuration: embedded or OPA, what watches it, and the candidate in its shadow.

Knows: which adapter each setting means. Must not know: how a call uses a decision.
"""

from __future__ import annotations

from broker.adapters.rego import EmbeddedAuthorizer
from broker.config import Policy
from broker.ports import Authorizer, DecisionObserver, Explainer


class PolicyEngine:
    def __init__(self, settings: Policy) -> None:
        assert settings.directory is not None
        engine = EmbeddedAuthorizer(settings.directory)
        self.authorizer: Authorizer = engine
        self.explainer: Explainer = engine  # type: ignore[assignment]
        self.observer: DecisionObserver | None = None

    def problem(self) -> str:
        return ""
