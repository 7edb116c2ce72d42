"""The policy engine of a configuration: which adapter decides, what watches it, and what is recorded of it.

Knows: which adapter each setting means. Must not know: how a call uses a decision.
"""

from __future__ import annotations

from typing import Protocol

from broker.adapters.opa import OpaAuthorizer, Sidecar
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.config import ConfigError, Opa, Settings
from broker.model.decision import PolicyVersion
from broker.model.record import Record, RecordType
from broker.ports import Activating, Authorizer, Clock, DecisionObserver, Explainer, Ledger


class PolicyEngine:
    """What decides, from `open` to `aclose`. Every version that rules is in the log before it does."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Raises POLICY_ENGINE_UNAVAILABLE where policies cannot be used, ConfigError without any."""
        engine = _opa(settings.opa, clock) if settings.policy.adapter == "opa" else _embedded(settings, clock)
        self._engine = engine
        self.authorizer: Authorizer = engine
        self.explainer: Explainer = engine
        self.observer: DecisionObserver | None = None

    async def open(self, ledger: Ledger) -> None:
        """Records the version that rules from now on, and watches for others."""

        async def activating(version: PolicyVersion) -> None:
            await ledger.append(_config(version))

        await self._engine.start(activating)

    async def aclose(self) -> None:
        """Stops watching."""
        await self._engine.aclose()

    def problem(self) -> str:
        """Why the newest policies do not rule, or an empty string."""
        return self._engine.problem()

    def unready(self) -> str:
        """What keeps policy from deciding, or an empty string."""
        return self._engine.unready()


class _Engine(Authorizer, Explainer, Protocol):
    """What both adapters are."""

    async def start(self, activating: Activating) -> None: ...

    async def aclose(self) -> None: ...

    def problem(self) -> str: ...

    def unready(self) -> str: ...


def _embedded(settings: Settings, clock: Clock) -> ReloadingAuthorizer:
    if settings.policy.directory is None:
        raise ConfigError("policy.directory: the embedded engine needs a folder of policies")
    return ReloadingAuthorizer(settings.policy.directory, clock)


def _opa(settings: Opa, clock: Clock) -> OpaAuthorizer:
    sidecar = Sidecar(settings.url, settings.ca, settings.certificate, settings.key)
    try:
        return OpaAuthorizer(
            sidecar, clock, deadline_seconds=settings.deadline_ms / 1000, bundle=settings.bundle
        )
    except ValueError as error:
        raise ConfigError(f"opa.url: {error}") from None


def _config(version: PolicyVersion) -> Record:
    return Record(
        type=RecordType.CONFIG,
        call_id=f"policy_{version.sha256[:32]}",
        policy_revision=version.revision,
        policy_sha256=version.sha256,
    )
