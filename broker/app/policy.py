"""The policy engine of a configuration: which adapter decides, what watches it, and what is recorded of it.

Knows: which adapter each setting means. Must not know: how a call uses a decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from broker.adapters.policyfiles.lint import Mistake
from broker.adapters.policyfiles.source import PolicySource, read_policies
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.bundle_server import ServedBundle
from broker.adapters.rego.origin import Folder, PolicyOrigin, SignedBundle
from broker.adapters.rego.preflight import try_tested
from broker.adapters.rego.proof import SlicingProof, already
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.adapters.rego.unserved import credentials_of, unserved
from broker.adapters.shadow import ShadowObserver
from broker.app.keys import configured_keys
from broker.config import OpaSettings, Settings
from broker.errors import BrokerError, ConfigError
from broker.model.decision import PolicyVersion
from broker.model.record import Record, RecordType
from broker.model.units import MS_PER_SECOND
from broker.ports import Activating, Authorizer, Clock, DecisionObserver, Explainer, Ledger

if TYPE_CHECKING:
    from broker.adapters.opa import OpaAuthorizer


@dataclass(frozen=True, slots=True)
class TriedPolicies:
    """In which form each set of policies may be evaluated by the embedded engine: the one that is to rule and
    the candidate beside it; None where there is none.
    """

    ruling: SlicingProof | None = None
    candidate: SlicingProof | None = None


async def try_candidates(settings: Settings) -> TriedPolicies:
    """Tries the folders that are about to be loaded. Raises POLICY_ENGINE_UNAVAILABLE, where loading them
    could have ended the process instead.
    """
    ruling = candidate = None
    if settings.policy.adapter == "embedded":
        with _origin(settings).contents() as contents:
            ruling = await contents.try_them()
    if settings.shadow.directory is not None:
        candidate = await try_tested(settings.shadow.directory)
    return TriedPolicies(ruling, candidate)


def policy_source(settings: Settings) -> PolicySource | None:
    """The policies as they are written; None where OPA has them. Blocking. Raises BrokerError."""
    if settings.policy.adapter != "embedded":
        return None
    with _origin(settings).contents() as contents:
        return read_policies(contents.directory)


def told_unserved(settings: Settings) -> list[Mistake]:
    """What the policies name and no key of the configuration serves. Blocking. Raises BrokerError."""
    source = policy_source(settings)
    return [] if source is None else unserved(source, configured_keys(settings))


def named_credentials(settings: Settings) -> list[str]:
    """The credentials that roles of the policies name, where this process can read them. Blocking."""
    try:
        source = policy_source(settings)
    except BrokerError:
        return []  # what is wrong with the policies is told elsewhere
    return [] if source is None else credentials_of(source)


class PolicyEngine:
    """What decides, from `open` to `aclose`. Every version that rules is in the log before it does."""

    def __init__(self, settings: Settings, clock: Clock, tried: TriedPolicies) -> None:
        """`tried` is what `try_candidates` found of the same settings. Raises POLICY_ENGINE_UNAVAILABLE where
        policies cannot be used, ConfigError without any.
        """
        engine = (
            opa_authorizer(settings.opa, clock)
            if settings.policy.adapter == "opa"
            else _embedded(settings, clock, tried.ruling)
        )
        self._engine = engine
        self._tried = tried
        self._bundle = engine if isinstance(engine, ReloadingAuthorizer) else served_bundle(settings, clock)
        self.authorizer: Authorizer = engine
        self.explainer: Explainer = engine
        self._candidate = settings.shadow
        self._clock = clock
        self._shadow: ShadowObserver | None = None

    def observer(self, ledger: Ledger) -> DecisionObserver | None:
        """Who sees every decision: the candidate's shadow, where the configuration names a candidate."""
        if self._candidate.directory is not None:
            candidate = EmbeddedAuthorizer(self._candidate.directory, already(self._tried.candidate))
            self._shadow = ShadowObserver(candidate, ledger, self._clock, sample=self._candidate.sample)
        return self._shadow

    async def open(self, activating: Activating) -> None:
        """Tells of the version that rules from now on, and watches for others."""
        if isinstance(self._bundle, ServedBundle):
            await self._bundle.start()
        await self._engine.start(activating)
        if self._shadow is not None:
            self._shadow.start()

    async def aclose(self) -> None:
        """Stops watching."""
        async with AsyncExitStack() as ends:
            ends.push_async_callback(self._engine.aclose)
            if isinstance(self._bundle, ServedBundle):
                ends.push_async_callback(self._bundle.aclose)
            if self._shadow is not None:
                ends.push_async_callback(self._shadow.aclose)

    def bundle(self) -> bytes | None:
        """The last good signed bundle, for an OPA to fetch; None where there is none."""
        return self._bundle.bundle() if self._bundle is not None else None

    def shadowed(self) -> Mapping[str, int]:
        """How many decisions the candidate was asked about, by what became of them; empty without one."""
        return asdict(self._shadow.tally) if self._shadow is not None else {}

    def problem(self) -> str:
        """Why the newest policies do not rule, or an empty string."""
        return self._bundle.problem() if self._bundle is not None else ""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a page tells of the policies that rule, and of newer ones that do not."""
        problem = self.problem()
        refused = (("Newer policies are refused", problem),) if problem else ()
        unsliced = self.unsliced()
        slower = (("Policies are evaluated whole", unsliced),) if unsliced else ()
        return (("Policy revision", self.authorizer.version.revision), *refused, *slower)

    def unsliced(self) -> str:
        """Why the embedded engine evaluates the policies in a slower form, or an empty string."""
        return self._engine.unsliced() if isinstance(self._engine, ReloadingAuthorizer) else ""

    def unready(self) -> str:
        """What keeps policy from deciding, or an empty string."""
        return self._engine.unready()


class _Engine(Authorizer, Explainer, Protocol):
    """What both adapters are."""

    async def start(self, activating: Activating) -> None: ...

    async def aclose(self) -> None: ...

    def unready(self) -> str: ...


def served_bundle(settings: Settings, clock: Clock) -> ServedBundle | None:
    """What an OPA may fetch from the console, where the configuration names a signed bundle."""
    policy = settings.policy
    if policy.bundle is None or policy.verification_key is None:
        return None
    return ServedBundle(SignedBundle(policy.bundle, policy.verification_key), clock)


def _embedded(settings: Settings, clock: Clock, proof: SlicingProof | None) -> ReloadingAuthorizer:
    return ReloadingAuthorizer(_origin(settings), clock, lambda: configured_keys(settings), proof)


def _origin(settings: Settings) -> PolicyOrigin:
    policy = settings.policy
    if policy.bundle is not None and policy.verification_key is not None:
        return SignedBundle(policy.bundle, policy.verification_key)
    if policy.directory is not None:
        return Folder(policy.directory)
    raise ConfigError("policy: the embedded engine needs `directory`, or `bundle` and `verification_key`")


def opa_authorizer(settings: OpaSettings, clock: Clock) -> OpaAuthorizer:
    """The sidecar of the configuration. Raises ConfigError."""
    from broker.adapters.opa import OpaAuthorizer, Sidecar

    sidecar = Sidecar(settings.url, settings.ca, settings.certificate, settings.key)
    try:
        return OpaAuthorizer(
            sidecar, clock, deadline_seconds=settings.deadline_ms / MS_PER_SECOND, bundle=settings.bundle
        )
    except OSError as error:
        raise ConfigError(f"opa.ca, opa.certificate, opa.key: a PEM file cannot be used: {error}") from None
    except ValueError as error:
        raise ConfigError(f"opa.url: {error}") from None


def recording(ledger: Ledger) -> Activating:
    """Has each version recorded before it rules."""

    async def activating(version: PolicyVersion) -> None:
        await ledger.append(_config(version))

    return activating


def _config(version: PolicyVersion) -> Record:
    return Record(
        type=RecordType.CONFIG,
        call_id=f"policy_{version.sha256[:32]}",
        policy_revision=version.revision,
        policy_sha256=version.sha256,
    )
