"""One broker process: every part, begun in order and ended in the opposite one.

Knows: every part. Must not know: how any part does its work.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from broker.adapters.clock import SystemClock
from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy, UpstreamOrigin
from broker.adapters.process import status_of
from broker.adapters.telemetry import (
    Metrics,
    NativeLines,
    PooledKeysMetric,
    RejectedHandshakes,
    ShadowMetric,
)
from broker.adapters.tokenkeys import FollowedTokenKeys, TokenKeyFiles
from broker.app.addresses import Addresses, OwnAddresses
from broker.app.listeners import Listeners, ServedInterfaces, https_dependencies
from broker.app.machine import Machine, OwnMachine, ServedKeys, TokenKey
from broker.app.parts import LONG_STEP_SECONDS, StartedParts
from broker.app.policy import PolicyEngine, recording, try_candidates
from broker.app.wiring import PluggedAdapters, WiredCore
from broker.call.stream_supervisor import StreamSupervisor
from broker.catalog.vocabulary import load_vocabularies
from broker.config import Settings
from broker.console.app import Status
from broker.identity.token import TokenVerifier
from broker.model.pool import KeyNews
from broker.model.process import ProcessStatus

GRACE_SECONDS = 8.0
_SWITCH_SECONDS = 0.0005
"""How long the event loop waits for Python's lock while a thread works; each of its waits costs that much."""


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Where a worker listens, and where what its machine has once is."""

    addresses: Addresses
    machine: Machine


class Broker:
    """One process that serves calls: `start`, serve, `stop`, also where `start` failed. Use it from one event
    loop.
    """

    def __init__(self, settings: Settings, native: NativeLines, place: WorkerPlace | None = None) -> None:
        """`place`: of a worker. Without one the broker is one process."""
        self._settings = settings
        self._clock = SystemClock()
        self._metrics = Metrics()
        self._parts = StartedParts()
        own = OwnAddresses(settings.server)
        self._machine = place.machine if place else OwnMachine(settings, self._clock, self._metrics.registry)
        self._listeners = Listeners(settings, place.addresses if place else own, native)
        self.log_lost = asyncio.Event()
        """Set when the log can no longer be made durable: end the process, start it again."""
        self._log = structlog.get_logger()
        self._started = False

    async def start(self) -> None:
        """Returns once calls are accepted. Raises BrokerError or OSError, naming what is missing; then, too,
        `stop` is due.

        First what can fail without a trace; then the machine's parts, the log among them; at last the
        listeners, so that nobody is let in before all of it is there.
        """
        settings, clock, parts, metrics = self._settings, self._clock, self._parts, self._metrics
        sys.setswitchinterval(_SWITCH_SECONDS)
        await parts.begin("addresses", self._listeners.bind, self._listeners.release)
        tried, _ = await asyncio.gather(try_candidates(settings), asyncio.to_thread(load_vocabularies))
        policy = self._policy = PolicyEngine(settings, clock, tried)
        machine = await self._machine.open(parts)
        ledger, self._writer_pid = machine.ledger, machine.writer_pid
        self._ledger = ledger
        ledger.failed.add_done_callback(lambda _future: self.log_lost.set())
        upstream = _upstream(settings, clock)
        parts.add("upstream", upstream.aclose)
        core = self._core = WiredCore(settings, PluggedAdapters(clock, metrics, policy, machine, upstream))
        await parts.begin("space", core.space.start, core.space.aclose)
        parts.add("counted refusals", core.refusals.aclose)
        core.refusals.start()
        parts.add("key pools", core.pools.aclose)
        activating = machine.activating or recording(core.refusals)
        await parts.begin("policy", partial(policy.open, activating), policy.aclose)
        parts.run("streams", core.supervisor.run())
        await self._follow_token_keys(machine.token_key.verifier)
        self._measure(core, machine.keys, policy)
        served = self._served(core, machine.token_key, policy)
        rejected = RejectedHandshakes(metrics.registry, clock)
        await parts.begin(
            "listeners",
            partial(self._listeners.open, served, machine.tls, rejected),
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

    async def _follow_token_keys(self, verifier: TokenVerifier) -> None:
        """Tokens of the deployment's other brokers are good here, too."""
        identity = self._settings.identity
        if identity.token_keys is not None:
            files = TokenKeyFiles(identity.token_keys, identity.certified_by)
            followed = FollowedTokenKeys(files, self._clock, verifier.trust)
            await self._parts.begin("token keys", followed.open, followed.aclose)

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

    def metrics(self) -> bytes:
        """What this process has counted, in the Prometheus text format."""
        return self._metrics.render()

    @property
    def calls(self) -> int:
        """How many calls this process has ended."""
        return self._metrics.calls

    def _processes(self) -> tuple[ProcessStatus, ...]:
        """Those of a broker that is one process, and the writer of its log."""
        return status_of("broker", os.getpid(), self.calls), status_of("log writer", self._writer_pid)

    def hear_of_key(self, news: KeyNews) -> None:
        """What upstream has told another process of this broker."""
        if self._started:
            self._core.pools.hear(news)

    def charged(self) -> dict[str, int]:
        """What has filled the buckets of the throttle here since this was asked last, by certificate."""
        return self._core.throttle.charged() if self._started else {}

    def hear_of_charged(self, charged: Mapping[str, int]) -> None:
        """What has filled those of another process of this broker."""
        if self._started:
            self._core.throttle.hear(charged)

    def policy_facts(self) -> tuple[tuple[str, str], ...]:
        """What a page tells of the policies that rule, and of newer ones that do not."""
        return self._policy.facts()

    def trouble(self) -> str:
        """What ails the keys; it makes no call impossible."""
        return self._core.trouble()

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        return self._core.unready()

    async def _close_listeners(self, supervisor: StreamSupervisor) -> None:
        """Calls under way have 8 s to end; those that have not are told that the broker stops."""
        closing = asyncio.ensure_future(self._listeners.aclose())
        await asyncio.wait({closing}, timeout=GRACE_SECONDS)
        supervisor.end()
        await closing

    def _measure(self, core: WiredCore, keys: ServedKeys, policy: PolicyEngine) -> None:
        """What the metrics ask for whenever they are read."""
        self._metrics.registry.register(PooledKeysMetric(core.pools.stats))
        self._metrics.registry.register(ShadowMetric(policy.shadowed))
        self._metrics.watch_space(lambda: core.space.free_bytes)
        self._metrics.watch(core.unready, keys.trouble, policy.problem, policy.unsliced)

    def _served(self, core: WiredCore, token_key: TokenKey, policy: PolicyEngine) -> ServedInterfaces:
        jwks = token_key.verifier.public_jwks(token_key.certification)
        https = https_dependencies(
            core.dependencies, jwks, self._settings.identity.issuer, self._listeners.https_url
        )
        facts = (
            ("HTTPS", self.https_url),
            ("gRPC", self.grpc_address),
            ("AuditLog", self._settings.audit.origin),
        )

        async def metrics() -> bytes:
            return self.metrics()

        status = Status(
            facts, core.unready, metrics, policy.bundle, policy.facts, self._processes, core.trouble
        )
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
