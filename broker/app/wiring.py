"""The core, wired once: adapters into ports, ports into the path, the path into what the listeners call.

Knows: what is plugged into what. Must not know: how a part does its work, when it begins or ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from broker.adapters.clock import SystemClock
from broker.adapters.decision_cache import CachingAuthorizer
from broker.adapters.keyfile import load_or_create_secret
from broker.adapters.keypool import PooledKeys
from broker.adapters.ledger.space import SpaceWatch
from broker.adapters.repeated_refusals import CountedRefusals
from broker.adapters.telemetry import LoadMetrics, MeteredKeys, MeteredLedger, Metrics
from broker.app.machine import MachineParts
from broker.app.policy import PolicyEngine
from broker.call.authorization import CallAuthorizer
from broker.call.limits import CallLimits
from broker.call.own_limits import OwnLimits
from broker.call.pipeline import Pipeline, Ports
from broker.call.stages import Stages
from broker.call.stream_supervisor import StreamSupervisor
from broker.config import ServerSettings, Settings
from broker.identity.authentication import Authentication
from broker.identity.certificate import CertificateReader
from broker.identity.revocation import RevocationSet
from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.overload import LoadShedder
from broker.listeners.throttling import (
    Throttle,
    ThrottledAdmin,
    ThrottledCalls,
    ThrottledLimits,
    ThrottledTokens,
)
from broker.ports import Authorizer, Upstream
from broker.prefilter.inspector import Inspector
from broker.services.administrator import Administrator
from broker.services.limit_administrator import LimitAdministrator
from broker.services.policy_explainer import PolicyExplainer
from broker.services.tokens import TokenIssuer
from broker.tlog.commitment import MASTER_BYTES, Committer


@dataclass(frozen=True, slots=True)
class PluggedAdapters:
    """What stands behind the ports. The ledger is open."""

    clock: SystemClock
    metrics: Metrics
    policy: PolicyEngine
    machine: MachineParts
    upstream: Upstream


class WiredCore:
    """`dependencies` is what callers reach. `space`, `refusals`, `pools` and `supervisor` begin and end with
    the process; no call may be served before.
    """

    def __init__(self, settings: Settings, plugged: PluggedAdapters) -> None:
        """Raises OSError and BrokerError where the key of commitments cannot be read or made. Blocking."""
        clock, self._plugged, machine = plugged.clock, plugged, plugged.machine
        self.space = _space(settings, plugged)
        own_part = max(1, settings.audit.refusals_recorded // settings.server.workers)
        self.refusals = CountedRefusals(self.space, clock, recorded=own_part)
        metered = MeteredKeys(machine.keys, plugged.metrics, clock)
        self.pools = PooledKeys(
            metered, settings.key_pools(), clock, self.refusals, machine.keys.revoke, machine.tell_of_key
        )
        revocations = RevocationSet(machine.ledger.revoked, machine.state.unheard)
        machine.ledger.on_revoked = revocations.revoke_token
        authorizer = CachingAuthorizer(plugged.policy.authorizer, revocations, clock)
        zone = _zone(settings)
        call_authorizer = CallAuthorizer(authorizer, clock, zone, plugged.policy.observer(self.refusals))
        self.supervisor = StreamSupervisor(clock, call_authorizer.circumstances)
        content = settings.content
        stages = Stages(Inspector(content.banned_topics, content.injection_phrases))
        committer = Committer(load_or_create_secret(settings.audit.keys / "commitment.key", MASTER_BYTES))
        authentication = Authentication(machine.token_key.verifier, revocations)
        limits = CallLimits(stages.finds, committer.commit, zone)
        pipeline = Pipeline(
            self._ports(), authentication, stages, call_authorizer, committer.commit, self.supervisor, limits
        )
        own_limits = OwnLimits(machine.state.reader, authentication, call_authorizer, limits, clock)

        def conceal(name: str, text: str) -> str:
            return committer.commit(None, name, text.encode()) if stages.finds(text) else text

        self.dependencies = self._dependencies(
            settings, pipeline, own_limits, authorizer, revocations, conceal
        )

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        plugged = self._plugged
        if not plugged.machine.ledger.ready:
            return "audit log"
        if plugged.machine.state.unheard():
            return "shared state"
        return self.space.problem() or plugged.policy.unready() or plugged.machine.keys.unready()

    def trouble(self) -> str:
        """What keeps some call from being served; it makes the broker not unready (adr/0015, adr/0016,
        adr/0076).
        """
        machine = self._plugged.machine
        return "; ".join(
            filter(None, (machine.keys.trouble(), self.pools.problem(), machine.state.trouble()))
        )

    def _ports(self) -> Ports:
        plugged = self._plugged
        return Ports(
            keys=self.pools,
            upstream=plugged.upstream,
            ledger=self.refusals,
            owners=plugged.machine.owners,
            clock=plugged.clock,
        )

    def _dependencies(
        self,
        settings: Settings,
        pipeline: Pipeline,
        own_limits: OwnLimits,
        authorizer: Authorizer,
        revocations: RevocationSet,
        conceal: Callable[[str, str], str],
    ) -> ListenerDependencies:
        identity, limits, zone = settings.identity, settings.limits, _zone(settings)
        clock, ledger, policy = self._plugged.clock, self.refusals, self._plugged.policy
        machine = self._plugged.machine
        log, held, token_key = machine.ledger, machine.state, machine.token_key
        throttle = self.throttle = Throttle(
            ledger, clock, per_second=limits.refusals_per_second, burst=limits.refusals_burst
        )
        tokens = TokenIssuer(
            authorizer, ledger, token_key.verifier, token_key.sign, clock, identity.audience, zone, conceal
        )
        administrator = Administrator(authorizer, ledger, log, token_key.verifier, revocations, clock, zone)
        limit_administrator = LimitAdministrator(administrator, held.reader, ledger)
        throttled = ThrottledLimits(own_limits, limit_administrator, throttle)
        reader = CertificateReader(identity.trust_domain, settings.tls.max_client_life_seconds)
        return ListenerDependencies(
            calls=ThrottledCalls(pipeline, throttle),
            token_issuer=ThrottledTokens(tokens, throttle),
            administrator=ThrottledAdmin(administrator, throttle),
            own_limits=throttled,
            limit_administrator=throttled,
            policy_explainer=PolicyExplainer(authorizer, policy.explainer, administrator, policy.problem),
            read_peer=reader.read,
            unready=self.unready,
            new_call_id=lambda: f"call_{clock.random_bytes(16).hex()}",
            shedder=self._shedder(settings.server),
            forwarded=settings.server.forward_headers,
        )

    def _shedder(self, server: ServerSettings) -> LoadShedder:
        """One for both listeners."""
        metrics = LoadMetrics(self._plugged.metrics.registry)
        shedder = LoadShedder(
            self._plugged.clock,
            metrics,
            self.refusals.count,
            waiting=server.max_waiting,
            under_way=server.max_under_way,
        )
        metrics.watch(lambda: shedder.waiting, lambda: shedder.under_way)
        return shedder


def _space(settings: Settings, plugged: PluggedAdapters) -> SpaceWatch:
    """What is recorded goes to the log, which is measured and whose disk is watched."""
    audit = settings.audit
    return SpaceWatch(
        MeteredLedger(plugged.machine.state.ledger, plugged.metrics),
        audit.directory,
        plugged.clock,
        warn_bytes=audit.warn_free_bytes,
        floor_bytes=audit.floor_free_bytes,
    )


def _zone(settings: Settings) -> ZoneInfo:
    return ZoneInfo(settings.policy.time_zone)
