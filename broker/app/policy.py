"""The policy engine of a configuration: which adapter decides, what watches it, and what is recorded of it.

Knows: which adapter each setting means. Must not know: how a call uses a decision.
"""

from __future__ import annotations

import asyncio

from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.config import ConfigError, Settings
from broker.model.decision import PolicyVersion
from broker.model.record import Record, RecordType
from broker.ports import Authorizer, Clock, DecisionObserver, Explainer, Ledger


class PolicyEngine:
    """What decides, from `open` to `aclose`. Every version that rules is in the log before it does."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Raises POLICY_ENGINE_UNAVAILABLE where policies cannot be used, ConfigError without any."""
        if settings.policy.directory is None:
            raise ConfigError("policy.directory: the embedded engine needs a folder of policies")
        self._embedded = ReloadingAuthorizer(settings.policy.directory, clock)
        self.authorizer: Authorizer = self._embedded
        self.explainer: Explainer = self._embedded
        self.observer: DecisionObserver | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self, ledger: Ledger) -> None:
        """Records the version that rules from now on, and watches for others."""

        async def activating(version: PolicyVersion) -> None:
            await ledger.append(_config(version))

        await activating(self.authorizer.version)
        self._watching = asyncio.create_task(self._embedded.watch(activating))

    async def aclose(self) -> None:
        """Stops watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def problem(self) -> str:
        """Why the newest policies do not rule, or an empty string."""
        return self._embedded.problem()

    def unready(self) -> str:
        """What keeps policy from deciding, or an empty string."""
        return ""


def _config(version: PolicyVersion) -> Record:
    return Record(
        type=RecordType.CONFIG,
        call_id=f"policy_{version.sha256[:32]}",
        policy_revision=version.revision,
        policy_sha256=version.sha256,
    )
