"""One broker process: every part, wired once.

Knows: every part. Must not know: how any part does its work.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from zoneinfo import ZoneInfo

import structlog

from broker.adapters.clock import SystemClock
from broker.adapters.counters import MemoryCounters
from broker.adapters.decision_cache import CachingAuthorizer
from broker.adapters.keyfile import load_or_create_secret
from broker.adapters.keypool import PooledKeys
from broker.adapters.ledger.space import SpaceWatch
from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy, UpstreamOrigin
from broker.adapters.repeated_refusals import CountedRefusals
from broker.adapters.telemetry import (
    IssuedKeyMetrics,
    MeteredKeys,
    MeteredLedger,
    Metrics,
    NativeLines,
    PooledKeysMetric,
    RejectedHandshakes,
    ShadowMetric,
)
from broker.app.certificates import Certificates
from broker.app.credentials import all_keys
from broker.app.keys import credential_source, vault_session
from broker.app.listeners import https_dependencies
from broker.app.log import AuditLog
from broker.app.objects import OwnedObjects
from broker.app.policy import PolicyEngine, try_candidates
from broker.call.authorization import CallAuthorizer
from broker.call.pipeline import Pipeline, Ports
from broker.call.stages import Stages
from broker.call.stream_supervisor import StreamSupervisor
from broker.catalog.vocabulary import load_vocabularies
from broker.config import Settings
from broker.console.app import ConsoleApp, Status
from broker.identity.authentication import Authentication
from broker.identity.certificate import CertificateReader
from broker.identity.revocation import RevocationSet
from broker.identity.token import TokenSigner
from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.grpc.server import GrpcServer
from broker.listeners.https.app import HttpsApp
from broker.listeners.https.server import HttpServer, address_of, bind, tls_context
from broker.listeners.throttling import Throttle, ThrottledAdmin, ThrottledCalls, ThrottledTokens
from broker.ports import Ledger
from broker.prefilter.inspector import Inspector
from broker.services.administrator import Administrator
from broker.services.policy_explainer import PolicyExplainer
from broker.services.tokens import TokenIssuer
from broker.tlog.commitment import MASTER_BYTES, Committer

GRACE_SECONDS = 8.0
CLOSE_SECONDS = 10.0
STEP_SECONDS = 5.0
LONG_STEP_SECONDS = 12.0
"""Of the steps that may have to wait for others: calls under way, the disk, OpenAI's deletion of accounts."""
_SWITCH_SECONDS = 0.0005
"""How long the event loop waits for Python's lock while a thread works; each of its waits costs that much."""


class Broker:
    """One broker process: `start`, serve, `stop`. Use it from one event loop."""

    def __init__(self, settings: Settings, native: NativeLines) -> None:
        self._settings = settings
        self._native = native
        self._clock = SystemClock()
        self._metrics = Metrics()
        self.log_lost = asyncio.Event()
        """Set when the log can no longer be made durable: end the process, start it again."""
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Returns once calls are accepted. Raises BrokerError or OSError, naming what is missing."""
        settings = self._settings
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._policy = PolicyEngine(settings, self._clock, await try_candidates(settings))
        self._vault = vault_session(settings, self._clock)
        store = credential_source(settings, self._clock, self._vault)
        self._keys = all_keys(settings, store, self._clock, IssuedKeyMetrics(self._metrics.registry))
        self._record = await asyncio.to_thread(AuditLog, settings, self._clock, self._vault)
        self._objects = OwnedObjects(settings, self._clock)
        await self._objects.owners.open()
        self._ledger, _ = await asyncio.gather(self._record.open(), asyncio.to_thread(load_vocabularies))
        self._ledger.failed.add_done_callback(lambda _future: self.log_lost.set())
        await self._keys.start()
        self._upstream = _upstream(settings, self._clock)
        sockets = [bind(settings.server.https), bind(settings.server.console)]
        self.https_url = f"https://{address_of(sockets[0])}"
        self.console_url = f"http://{address_of(sockets[1])}"
        self._assemble()
        await self._objects.open(self._ledger)
        await self._space.start()
        self._refusals.start()
        self._metrics.watch_space(lambda: self._space.free_bytes)
        self._certificates = Certificates(settings, self._clock, self._vault)
        tls = await self._certificates.open()
        rejected = RejectedHandshakes(self._metrics.registry, self._clock)
        self._https = HttpServer(HttpsApp(self._listener), sockets[0], tls_context(tls, rejected.of("https")))
        self._grpc = GrpcServer(
            self._dependencies,
            tls,
            settings.server.grpc,
            reflection=settings.server.reflection,
        )
        await asyncio.gather(self._https.start(), self._grpc.start())
        self._native.follow(rejected.of("grpc"))
        self.grpc_address = self._grpc.address
        self._console = HttpServer(ConsoleApp(self._status()), sockets[1], None)
        await self._console.start()
        await self._policy.open(self._refusals)
        self._watching = asyncio.create_task(self._supervisor.run())
        self._metrics.watch(self.unready, self._keys.trouble, self._policy.problem, self._policy.unsliced)
        self._log.info(
            "started",
            https=self.https_url,
            grpc=self.grpc_address,
            policy=self._policy.authorizer.version.revision,
            missing=self.unready(),
        )

    async def stop(self) -> None:
        """Stops accepting, lets calls end, closes the log. Takes each step whatever became of the one before,
        and none for longer than 5 s, but 12 s for listeners, log and keys.
        """
        await self._step("listeners", self._close_listeners(), LONG_STEP_SECONDS)
        self._native.leave()
        self._watching.cancel()
        await self._step("certificates", self._certificates.aclose())
        await self._step("policy", self._policy.aclose())
        await self._step("upstream", self._upstream.aclose())
        await self._step("key pools", self._pools.aclose())
        await self._step("objects", self._objects.aclose())
        await self._step("counted refusals", self._refusals.aclose())
        await self._step("space", self._space.aclose())
        await self._step("log", self._record.aclose(), LONG_STEP_SECONDS)
        await self._step("keys", self._keys.aclose(), LONG_STEP_SECONDS)
        if self._vault is not None:
            await self._step("vault", self._vault.aclose())
        self._log.info("stopped")

    async def _close_listeners(self) -> None:
        """Calls under way have 8 s to end; those that have not are told that the broker stops."""
        closing = asyncio.ensure_future(
            asyncio.gather(
                self._https.stop(),
                self._grpc.stop(CLOSE_SECONDS),
                self._console.stop(),
                return_exceptions=True,
            )
        )
        await asyncio.wait({closing}, timeout=GRACE_SECONDS)
        self._supervisor.end()
        await closing

    async def _step(
        self, part: str, step: Coroutine[object, object, object], seconds: float = STEP_SECONDS
    ) -> None:
        """One step of stopping. What goes wrong in it is told and holds up nothing that comes after."""
        task = asyncio.ensure_future(step)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            task.cancel()
            self._log.error("not_stopped_in_time", part=part, seconds=seconds)
        elif (error := _error_of(task)) is not None:
            self._log.error("not_stopped_cleanly", part=part, error=type(error).__name__)

    @property
    def log_vkey(self) -> str:
        """The verifier key of the log (C2SP signed-note)."""
        return self._ledger.vkey

    def _assemble(self) -> None:
        """The core, wired once: adapters into ports, ports into the path, the path into the listeners."""
        settings = self._settings
        identity = settings.identity
        ledger = self._begin_recording()
        throttle = self._throttle(ledger)
        metered = MeteredKeys(self._keys, self._metrics, self._clock)
        self._pools = PooledKeys(metered, settings.key_pools(), self._clock, ledger, self._keys.revoke)
        self._metrics.registry.register(PooledKeysMetric(self._pools.stats))
        self._metrics.registry.register(ShadowMetric(self._policy.shadowed))
        revocations = RevocationSet(self._ledger.revoked)
        issuer = TokenSigner(self._record.token_key, identity.issuer, identity.audience)
        committer = Committer(load_or_create_secret(settings.audit.keys / "commitment.key", MASTER_BYTES))
        content = settings.content
        stages = Stages(Inspector(content.banned_topics, content.injection_phrases))
        zone = ZoneInfo(settings.policy.time_zone)
        authorizer = CachingAuthorizer(self._policy.authorizer, revocations, self._clock)
        call_authorizer = CallAuthorizer(authorizer, self._clock, zone, self._policy.observer(ledger))
        self._supervisor = StreamSupervisor(self._clock, call_authorizer.circumstances)
        ports = Ports(
            keys=self._pools,
            upstream=self._upstream,
            ledger=ledger,
            counters=MemoryCounters(self._clock),
            owners=self._objects.owners,
            clock=self._clock,
        )
        pipeline = Pipeline(
            ports,
            Authentication(issuer, revocations),
            stages,
            call_authorizer,
            committer.commit,
            self._supervisor,
        )

        def conceal(name: str, text: str) -> str:
            return committer.commit(None, name, text.encode()) if stages.finds(text) else text

        token_issuer = TokenIssuer(authorizer, ledger, issuer, self._clock, identity.audience, zone, conceal)
        administrator = Administrator(
            authorizer, ledger, self._ledger, issuer, revocations, self._clock, zone
        )
        reader = CertificateReader(identity.trust_domain, settings.tls.max_client_life_seconds)
        self._dependencies = ListenerDependencies(
            calls=ThrottledCalls(pipeline, throttle),
            token_issuer=ThrottledTokens(token_issuer, throttle),
            administrator=ThrottledAdmin(administrator, throttle),
            policy_explainer=PolicyExplainer(
                authorizer, self._policy.explainer, administrator, self._policy.problem
            ),
            read_peer=reader.read,
            unready=self.unready,
            new_call_id=self._new_call_id,
            forwarded=settings.server.forward_headers,
        )
        keys = issuer.public_jwks(self._record.token_certification())
        self._listener = https_dependencies(self._dependencies, keys, identity.issuer, self.https_url)

    def _begin_recording(self) -> CountedRefusals:
        """What the path records to: the log, watched, measured, and with the refusals counted."""
        audit = self._settings.audit
        self._space = SpaceWatch(
            MeteredLedger(self._ledger, self._metrics),
            audit.directory,
            self._clock,
            warn_bytes=audit.warn_free_bytes,
            floor_bytes=audit.floor_free_bytes,
        )
        self._refusals = CountedRefusals(self._space, self._clock, recorded=audit.refusals_recorded)
        return self._refusals

    def _throttle(self, ledger: Ledger) -> Throttle:
        limits = self._settings.limits
        return Throttle(
            ledger, self._clock, per_second=limits.refusals_per_second, burst=limits.refusals_burst
        )

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        if not self._ledger.ready:
            return "audit log"
        return self._space.problem() or self._policy.unready() or self._keys.unready()

    def _trouble(self) -> str:
        """What keeps some call from a key; it makes the broker not unready (adr/0015, adr/0016)."""
        return "; ".join(filter(None, (self._keys.trouble(), self._pools.problem())))

    def _new_call_id(self) -> str:
        return f"call_{self._clock.random_bytes(16).hex()}"

    def _status(self) -> Status:
        facts = (
            ("HTTPS", self.https_url),
            ("gRPC", self.grpc_address),
            ("AuditLog", self._settings.audit.origin),
        )
        policy = self._policy
        return Status(facts, self.unready, self._metrics.render, policy.bundle, policy.facts, self._trouble)


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


def _error_of(task: asyncio.Future[object]) -> BaseException | None:
    """Why a task that is done failed."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()
