"""One broker process: every part, begun in order and ended in the opposite one.

Knows: every part. Must not know: how any part does its work.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import structlog

from broker.adapters.clock import SystemClock
from broker.adapters.credential_router import CredentialRouter
from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy, UpstreamOrigin
from broker.adapters.telemetry import (
    IssuedKeyMetrics,
    Metrics,
    NativeLines,
    PooledKeysMetric,
    RejectedHandshakes,
    ShadowMetric,
)
from broker.app.certificates import Certificates
from broker.app.credentials import all_keys
from broker.app.keys import credential_source, vault_session
from broker.app.listeners import Listeners, ServedInterfaces, https_dependencies
from broker.app.log import AuditLog
from broker.app.objects import OwnedObjects
from broker.app.parts import LONG_STEP_SECONDS, StartedParts
from broker.app.policy import PolicyEngine, try_candidates
from broker.app.wiring import PluggedAdapters, WiredCore
from broker.call.stream_supervisor import StreamSupervisor
from broker.catalog.vocabulary import load_vocabularies
from broker.config import Settings
from broker.console.app import Status

GRACE_SECONDS = 8.0
_SWITCH_SECONDS = 0.0005
"""How long the event loop waits for Python's lock while a thread works; each of its waits costs that much."""


class Broker:
    """One broker process: `start`, serve, `stop`, also where `start` failed. Use it from one event loop."""

    def __init__(self, settings: Settings, native: NativeLines) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._metrics = Metrics()
        self._parts = StartedParts()
        self._listeners = Listeners(settings, native)
        self.log_lost = asyncio.Event()
        """Set when the log can no longer be made durable: end the process, start it again."""
        self._log = structlog.get_logger()
        self._started = False

    async def start(self) -> None:
        """Returns once calls are accepted. Raises BrokerError or OSError, naming what is missing; then, too,
        `stop` is due.

        First what can fail without a trace; then the log, and what is recorded there; at last the listeners,
        so that nobody is let in before all of it is there.
        """
        settings, clock, parts, metrics = self._settings, self._clock, self._parts, self._metrics
        sys.setswitchinterval(_SWITCH_SECONDS)
        await parts.begin("addresses", self._listeners.bind, self._listeners.release)
        tried, _ = await asyncio.gather(try_candidates(settings), asyncio.to_thread(load_vocabularies))
        policy = PolicyEngine(settings, clock, tried)
        vault = vault_session(settings, clock)
        if vault is not None:
            parts.add("vault", vault.aclose)
        store = credential_source(settings, clock, vault)
        keys = all_keys(settings, store, clock, IssuedKeyMetrics(metrics.registry))
        parts.add("keys", keys.aclose, LONG_STEP_SECONDS)
        certificates = Certificates(settings, clock, vault)
        tls = await parts.begin("certificates", certificates.open, certificates.aclose)
        log = await asyncio.to_thread(AuditLog, settings, clock, vault)
        objects = OwnedObjects(settings, clock)
        await parts.begin("owners", objects.owners.open, objects.owners.close)
        ledger = self._ledger = await parts.begin("log", log.open, log.aclose, LONG_STEP_SECONDS)
        ledger.failed.add_done_callback(lambda _future: self.log_lost.set())
        await keys.start()  # none is made at OpenAI for a broker whose log does not open
        upstream = _upstream(settings, clock)
        parts.add("upstream", upstream.aclose)
        core = self._core = WiredCore(
            settings, PluggedAdapters(clock, metrics, policy, keys, log, ledger, objects.owners, upstream)
        )
        await parts.begin("objects", partial(objects.follow, ledger), objects.unfollow)
        await parts.begin("space", core.space.start, core.space.aclose)
        parts.add("counted refusals", core.refusals.aclose)
        core.refusals.start()
        parts.add("key pools", core.pools.aclose)
        await parts.begin("policy", partial(policy.open, core.refusals), policy.aclose)
        parts.run("streams", core.supervisor.run())
        self._measure(core, keys, policy)
        served = self._served(core, log, policy)
        rejected = RejectedHandshakes(metrics.registry, clock)
        await parts.begin(
            "listeners",
            partial(self._listeners.open, served, tls, rejected),
            partial(self._close_listeners, core.supervisor),
            LONG_STEP_SECONDS,
        )
        self._started = True
        self._log.info(
            "started",
            https=self.https_url,
            grpc=self.grpc_address,
            policy=policy.authorizer.version.revision,
            missing=self.unready(),
        )

    async def stop(self) -> None:
        """Stops accepting, lets calls end, closes the log: ends whatever `start` has begun. Takes each step
        whatever became of the one before, and none for longer than 5 s, but 12 s for listeners, log and keys.
        """
        await self._parts.end()
        if self._started:
            self._log.info("stopped")

    @property
    def https_url(self) -> str:
        """Where the HTTPS listener is."""
        return self._listeners.https_url

    @property
    def grpc_address(self) -> str:
        """Where the gRPC listener is."""
        return self._listeners.grpc_address

    @property
    def console_url(self) -> str:
        """Where metrics and health are."""
        return self._listeners.console_url

    @property
    def log_vkey(self) -> str:
        """The verifier key of the log (C2SP signed-note)."""
        return self._ledger.vkey

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        return self._core.unready()

    async def _close_listeners(self, supervisor: StreamSupervisor) -> None:
        """Calls under way have 8 s to end; those that have not are told that the broker stops."""
        closing = asyncio.ensure_future(self._listeners.aclose())
        await asyncio.wait({closing}, timeout=GRACE_SECONDS)
        supervisor.end()
        await closing

    def _measure(self, core: WiredCore, keys: CredentialRouter, policy: PolicyEngine) -> None:
        """What the metrics ask for whenever they are read."""
        self._metrics.registry.register(PooledKeysMetric(core.pools.stats))
        self._metrics.registry.register(ShadowMetric(policy.shadowed))
        self._metrics.watch_space(lambda: core.space.free_bytes)
        self._metrics.watch(core.unready, keys.trouble, policy.problem, policy.unsliced)

    def _served(self, core: WiredCore, log: AuditLog, policy: PolicyEngine) -> ServedInterfaces:
        jwks = core.issuer.public_jwks(log.token_certification())
        https = https_dependencies(
            core.dependencies, jwks, self._settings.identity.issuer, self._listeners.https_url
        )
        facts = (
            ("HTTPS", self.https_url),
            ("gRPC", self.grpc_address),
            ("AuditLog", self._settings.audit.origin),
        )
        render = self._metrics.render
        status = Status(facts, core.unready, render, policy.bundle, policy.facts, core.trouble)
        return ServedInterfaces(https, core.dependencies, status)


def _upstream(settings: Settings, clock: SystemClock) -> OpenAIUpstream:
    """One pool of connections for each base URL, for all calls."""
    upstream = settings.upstream
    deadlines = Deadlines(connect=upstream.connect_seconds, read=upstream.read_seconds)
    origin, *regional = (
        UpstreamOrigin.at(url, upstream.max_connections, deadlines)
        for url in (upstream.base_url, *upstream.regions.values())
    )
    regions = dict(zip(upstream.regions, regional, strict=True))
    return OpenAIUpstream(origin, regions, clock, RetryPolicy(attempts=upstream.attempts))
