"""One broker process: every part, wired once.

Knows: every part. Must not know: how any part does its work.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from broker.adapters.clock import SystemClock
from broker.adapters.counters import MemoryCounters
from broker.adapters.decisions import CachingAuthorizer
from broker.adapters.keyfile import load_or_create_ed25519, load_or_create_secret
from broker.adapters.keystore import SealedKeyVault, SealedStore
from broker.adapters.ledger import Disk, FileLedger, LogKeys
from broker.adapters.openai import Deadlines, OpenAIUpstream, Pool, RetryPolicy
from broker.adapters.telemetry import MeteredLedger, Metrics
from broker.administration import Administration
from broker.app.policy import PolicyEngine, try_candidates
from broker.catalog.count import load_vocabularies
from broker.config import Settings
from broker.console.app import ConsoleApp, Status
from broker.deciding import Deciding
from broker.explaining import Explaining
from broker.identity.authentication import Authentication
from broker.identity.certificate import CertificateReader
from broker.identity.revocation import RevocationSet
from broker.identity.token import TokenIssuer
from broker.issuance import Issuance
from broker.listeners.grpc.core import Core
from broker.listeners.grpc.server import GrpcServer
from broker.listeners.https.app import Door, HttpsApp
from broker.listeners.https.oauth import OAuth
from broker.listeners.https.server import HttpServer, address_of, bind, tls_context
from broker.listeners.tlsfiles import TlsFiles
from broker.pipeline import Pipeline, Ports
from broker.prefilter.inspector import Inspector
from broker.stages import Stages
from broker.tlog.commitment import MASTER_BYTES, Committer
from broker.vigil import Vigil

CLOSE_SECONDS = 10.0


class Broker:
    """One broker process: `start`, serve, `stop`. Use it from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._metrics = Metrics()
        self.log_lost = asyncio.Event()
        """Set when the log can no longer be made durable: end the process, start it again."""
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Returns once calls are accepted. Raises BrokerError or OSError, naming what is missing."""
        settings = self._settings
        await try_candidates(settings)
        self._policy = PolicyEngine(settings, self._clock)
        self._ledger, _ = await asyncio.gather(self._open_ledger(), asyncio.to_thread(load_vocabularies))
        store = SealedStore(settings.keys.directory)
        self._keys = SealedKeyVault(store, self._clock, settings.keys.hold_seconds)
        self._upstream = _upstream(settings, self._clock)
        sockets = [bind(settings.server.https), bind(settings.server.console)]
        self.https_url = f"https://{address_of(sockets[0])}"
        self.console_url = f"http://{address_of(sockets[1])}"
        self._assemble()
        files = TlsFiles(settings.tls.certificate, settings.tls.key, settings.tls.client_ca)
        tls = tls_context(files)
        self._https = HttpServer(HttpsApp(self._door), sockets[0], tls)
        self._grpc = GrpcServer(
            self._core,
            files,
            settings.server.grpc,
            reflection=settings.server.reflection,
        )
        await asyncio.gather(self._https.start(), self._grpc.start())
        self.grpc_address = self._grpc.address
        self._console = HttpServer(ConsoleApp(self._status()), sockets[1], None)
        await self._console.start()
        await self._policy.open(self._metered)
        self._watching = asyncio.create_task(self._vigil.run())
        self._metrics.ready.set(1)
        self._metrics.policy_refused.set_function(lambda: bool(self._policy.problem()))
        self._log.info(
            "started",
            https=self.https_url,
            grpc=self.grpc_address,
            policy=self._policy.authorizer.version.revision,
        )

    async def stop(self) -> None:
        """Stops accepting, lets calls end, closes the log."""
        self._metrics.ready.set(0)
        await asyncio.gather(
            self._https.stop(), self._grpc.stop(CLOSE_SECONDS), self._console.stop(), return_exceptions=True
        )
        self._watching.cancel()
        await self._policy.aclose()
        await self._upstream.aclose()
        self._keys.close()
        await self._ledger.close()
        self._log.info("stopped")

    @property
    def log_vkey(self) -> str:
        """The verifier key of the log (C2SP signed-note)."""
        return self._ledger.vkey

    def _assemble(self) -> None:
        """The core, wired once: adapters into ports, ports into the path, the path into the doors."""
        settings = self._settings
        identity = settings.identity
        ledger = self._metered = MeteredLedger(self._ledger, self._metrics)
        revocations = RevocationSet()
        issuer = TokenIssuer(load_or_create_ed25519(identity.token_key), identity.issuer, identity.audience)
        committer = Committer(load_or_create_secret(settings.audit.keys / "commitment.key", MASTER_BYTES))
        content = settings.content
        stages = Stages(partial(Inspector, content.banned_topics, content.injection_phrases))
        zone = ZoneInfo(settings.policy.time_zone)
        authorizer = CachingAuthorizer(self._policy.authorizer, revocations, self._clock)
        deciding = Deciding(authorizer, self._clock, zone, self._policy.observer(ledger))
        self._vigil = Vigil(self._clock, deciding.circumstances)
        ports = Ports(
            keys=self._keys,
            upstream=self._upstream,
            ledger=ledger,
            counters=MemoryCounters(self._clock),
            clock=self._clock,
        )
        pipeline = Pipeline(
            ports, Authentication(issuer, revocations), stages, deciding, committer.commit, self._vigil
        )
        issuance = Issuance(authorizer, ledger, issuer, self._clock, identity.audience, zone)
        administration = Administration(
            authorizer, ledger, self._ledger, issuer, revocations, self._clock, zone
        )
        explaining = Explaining(authorizer, self._policy.explainer, administration, self._policy.problem)
        reader = CertificateReader(identity.trust_domain, settings.tls.max_client_life_seconds)
        oauth = OAuth(issuance, administration, issuer.public_jwks(), identity.issuer, self.https_url)
        self._door = Door(
            calls=pipeline,
            oauth=oauth,
            read_peer=reader.read,
            unready=self.unready,
            new_call_id=self._new_call_id,
            forwarded=settings.server.forward_headers,
        )
        self._core = Core(
            calls=pipeline,
            issuance=issuance,
            administration=administration,
            explaining=explaining,
            read_peer=reader.read,
            unready=self.unready,
            new_call_id=self._new_call_id,
            forwarded=settings.server.forward_headers,
        )

    async def _open_ledger(self) -> FileLedger:
        audit = self._settings.audit
        ledger = FileLedger(
            audit.directory,
            origin=audit.origin,
            keys=LogKeys.load_or_create(audit.keys),
            instance=secrets.token_hex(8),
            clock=self._clock,
            disk=Disk(),
        )
        await ledger.open()
        ledger.failed.add_done_callback(lambda _future: self.log_lost.set())
        return ledger

    def unready(self) -> str:
        """What keeps calls from being served, or an empty string."""
        return self._policy.unready() if self._ledger.ready else "audit log"

    def _new_call_id(self) -> str:
        return f"call_{self._clock.random_bytes(16).hex()}"

    def _status(self) -> Status:
        facts = (
            ("HTTPS", self.https_url),
            ("gRPC", self.grpc_address),
            ("Log", self._settings.audit.origin),
        )
        return Status(facts, self.unready, self._metrics.render, self._policy.bundle, self._policy.facts)


def _upstream(settings: Settings, clock: SystemClock) -> OpenAIUpstream:
    """One connection pool for all calls."""
    upstream = settings.upstream
    deadlines = Deadlines(connect=upstream.connect_seconds, read=upstream.read_seconds)
    pool = Pool(upstream.base_url, upstream.max_connections, deadlines)
    return OpenAIUpstream(pool, upstream.base_url, clock, RetryPolicy(attempts=upstream.attempts))
