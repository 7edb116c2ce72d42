"""The composition root: which adapter stands behind which port. Plain constructors, no locator, no global.

Knows: every part. Must not know: how any part does its work.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

import aiohttp
import structlog
from httpx_aiohttp import AiohttpTransport

from broker.adapters.clock import SystemClock
from broker.adapters.counters import MemoryCounters
from broker.adapters.keyfile import load_or_create_ed25519, load_or_create_secret
from broker.adapters.keystore import SealedKeystore
from broker.adapters.ledger import Disk, FileLedger, LogKeys
from broker.adapters.openai import Deadlines, OpenAIUpstream, RetryPolicy
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.telemetry import MeteredLedger, Metrics
from broker.administration import Administration
from broker.config import Settings
from broker.console.app import ConsoleApp, Status
from broker.identity.authentication import Authentication
from broker.identity.certificate import CertificateReader
from broker.identity.revocation import RevocationSet
from broker.identity.token import TokenIssuer
from broker.issuance import Issuance
from broker.listeners.grpc.core import Core
from broker.listeners.grpc.server import GrpcServer
from broker.listeners.grpc.server import TlsFiles as GrpcFiles
from broker.listeners.https.app import Door, HttpsApp
from broker.listeners.https.oauth import OAuth
from broker.listeners.https.server import HttpServer, TlsFiles, address_of, bind, tls_context
from broker.pipeline import Pipeline, Ports
from broker.prefilter.inspector import Inspector
from broker.stages import Stages
from broker.tlog.commitment import MASTER_BYTES, Committer
