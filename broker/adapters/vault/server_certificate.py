"""The listeners' certificate from Vault: had before they open, renewed in good time, kept in files.

Knows: private keys, files, lives. Must not know: Vault's API, who reads the files.

The private key is made here, anew for each certificate, and leaves this machine never: Vault sees a request
that it signed. The listeners read the files as they would read an operator's, so that a broker whose Vault is
away starts with the certificate it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from broker.adapters.keyfile import replace_private
from broker.adapters.vault.pki import PkiRole, names_of
from broker.errors import BrokerError
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

RENEW_AT = 2 / 3
LOOK_SECONDS = 60.0  # the wall clock may jump: no sleep is longer
AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServerCertificateFiles:
    """Where certificate chain and key are kept, both 0600, PEM."""

    certificate: Path
    key: Path


class ServerCertificate:
    """Keeps `files` good. Use: `ensure`, then `start`; `aclose`. Belongs to one event loop."""

    def __init__(
        self, role: PkiRole, files: ServerCertificateFiles, names: Sequence[x509.GeneralName], clock: Clock
    ) -> None:
        self._role = role
        self._files = files
        self._names = tuple(names)
        self._clock = clock
        self._leaf: x509.Certificate | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    async def ensure(self) -> None:
        """Has a certificate issued, unless the one in the files will do. Raises BrokerError
        CREDENTIAL_STORE_UNAVAILABLE where there is none that is valid, and OSError.
        """
        self._leaf = await asyncio.to_thread(self._kept)
        if self._leaf is None or self._now() >= self._leaf.not_valid_after_utc:
            await self._issue()
        elif self._seconds_left(self._leaf) <= 0:
            await self._renew()

    def start(self) -> None:
        """Renews from now on. While Vault is away, tries again and again, and says so once."""
        self._renewing = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        """Stops renewing."""
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing

    async def _keep(self) -> None:
        while True:
            left = self._seconds_left(self._leaf) if self._leaf is not None else 0.0
            if left > 0:
                await self._clock.sleep(min(left, LOOK_SECONDS))
            elif not await self._renew():
                await self._clock.sleep(AGAIN_SECONDS)

    async def _renew(self) -> bool:
        """Whether it came to a new certificate."""
        try:
            await self._issue()
        except (BrokerError, OSError) as error:
            ends = self._leaf.not_valid_after_utc.isoformat() if self._leaf is not None else "none"
            remedy = (
                error.remedy if isinstance(error, BrokerError) else "Look at the folder of tls.certificate."
            )
            why = error.message if isinstance(error, BrokerError) else str(error)
            self._log.warning("certificate_not_renewed", why=why, remedy=remedy, old_one_ends=ends)
            return False
        return True

    async def _issue(self) -> None:
        key = await asyncio.to_thread(ec.generate_private_key, ec.SECP256R1())
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName(self._names), critical=True)  # RFC 5280, 4.2.1.6
            .sign(key, hashes.SHA256())
        )
        chain = await self._role.sign(request)
        await asyncio.to_thread(self._write, key, chain)
        self._leaf = chain[0]
        ends = chain[0].not_valid_after_utc.isoformat()
        self._log.info("certificate_issued", serial=f"{chain[0].serial_number:x}", ends=ends)

    def _write(self, key: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate]) -> None:
        """The key first. A crash in between leaves a pair that does not fit, and that `ensure` replaces."""
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        replace_private(self._files.key, pem)
        replace_private(self._files.certificate, b"".join(each.public_bytes(Encoding.PEM) for each in chain))

    def _kept(self) -> x509.Certificate | None:
        """The leaf in the files, where it has these names and the key beside it."""
        try:
            leaf = x509.load_pem_x509_certificates(self._files.certificate.read_bytes())[0]
            key = load_pem_private_key(self._files.key.read_bytes(), password=None)
            fits = key.public_key() == leaf.public_key() and names_of(leaf) == frozenset(self._names)
        except (FileNotFoundError, ValueError, TypeError, x509.ExtensionNotFound):
            return None
        return leaf if fits else None

    def _seconds_left(self, leaf: x509.Certificate) -> float:
        """Until two thirds of its life are over."""
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        return (leaf.not_valid_before_utc + life * RENEW_AT - self._now()) / timedelta(seconds=1)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / NS_PER_SECOND, UTC)


def certificate_names(spiffe_id: str, others: Sequence[str]) -> tuple[x509.GeneralName, ...]:
    """The SANs of a broker: its SPIFFE ID, and the DNS names and IP addresses that clients reach it by.

    >>> names = certificate_names("spiffe://example.org/broker", ["broker.example.org", "::1"])
    >>> [str(name.value) for name in names]
    ['spiffe://example.org/broker', 'broker.example.org', '::1']
    """
    return (x509.UniformResourceIdentifier(spiffe_id), *(_name(other) for other in others))


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
