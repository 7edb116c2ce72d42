"""The listeners' certificate, key and client CAs: read from files, judged, exchanged in service.

Knows: PEM files, X.509 dates, the standard library's TLS. Must not know: either listener, or who writes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from broker.errors import BrokerError, Kind
from broker.identity.chain import authority_flaw, time_flaw
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

REISSUE = "Issue the CA anew with keyUsage=critical,keyCertSign and basicConstraints=critical,CA:TRUE."
POLL_SECONDS = 0.25

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's chain and key, and the CAs that client certificates must come from."""

    certificate: Path
    key: Path
    client_ca: Path

    def stamp(self) -> Stamp:
        """Changes whenever one of the files is replaced or written, also behind a symbolic link."""
        return tuple(_facts(path) for path in self._paths())

    def read(self, now: datetime) -> TlsMaterial:
        """What the files hold, fit to be presented at `now`. Raises BrokerError CERTIFICATE_INVALID, naming
        the file and what is wrong with it. Blocking.
        """
        chain, key, client_ca = (_content(path) for path in self._paths())
        leaf = _leaf(self.certificate, chain)
        _check_key(self.key, key, leaf)
        if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
            raise _broken(self.certificate, "is not valid at this time", "Renew it, or set the clock.")
        authorities, left_out = _authorities(self.client_ca, client_ca, now)
        context = self._context(authorities)
        if (chain, key, client_ca) != tuple(_content(path) for path in self._paths()):
            raise _broken(self.certificate, "is being replaced", "Wait for the end of it.")
        ends = leaf.not_valid_after_utc
        return TlsMaterial(chain, key, authorities, leaf.serial_number, ends, context, left_out)

    def _paths(self) -> tuple[Path, ...]:
        return self.certificate, self.key, self.client_ca

    def _context(self, authorities: bytes) -> ssl.SSLContext:
        """TLS 1.3 only. A caller without a certificate is let in, to be told so; one whose certificate does
        not verify is not. No session is resumed: that would let a client in whose CA was withdrawn since.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, OSError):
            raise _broken(self.certificate, "does not suit TLS 1.3", "Use an EC or RSA key.") from None
        context.load_verify_locations(cadata=authorities.decode("ascii"))
        context.verify_mode = ssl.CERT_OPTIONAL
        # An intermediate may be trusted for itself, as it may over gRPC.
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        return context


@dataclass(frozen=True, slots=True, eq=False)
class TlsMaterial:
    """What the listeners present and trust: PEM for one, a context for the other, both of the same files.
    `client_ca` holds the CAs that verify; `left_out` says of each other one in the file why it does not.
    """

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes
    serial: int
    ends: datetime
    context: ssl.SSLContext
    left_out: tuple[str, ...] = ()


class TlsInUse:
    """The material that new connections get; exchanged as a whole. Connections that are open keep theirs.

    Replaced files are taken up within a second. Those that cannot be used are refused loudly, once, and what
    was good before stays; `problem` says so until it is mended. Belongs to one event loop.
    """

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        """Reads the files. Raises BrokerError CERTIFICATE_INVALID."""
        self._files = files
        self._clock = clock
        self._log = structlog.get_logger()
        self._seen = self._judged = files.stamp()
        self.material = self._read()
        self._problem = ""
        self._watching: asyncio.Task[None] | None = None

    def problem(self) -> str:
        """Why the newest files are not in use, or an empty string."""
        return self._problem

    def start(self) -> None:
        """Follows the files from now on."""
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Stops following."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(POLL_SECONDS)
            await self.poll()

    async def poll(self) -> None:
        """Looks once. A change is judged when the files have been still from one look to the next: several
        files are replaced one after the other.
        """
        before, self._seen = self._seen, await asyncio.to_thread(self._files.stamp)
        if self._seen == self._judged or self._seen != before:
            return
        self._judged = self._seen
        try:
            self.material = await asyncio.to_thread(self._read)
        except BrokerError as error:
            self._problem = error.message
            ends = self.material.ends.isoformat()
            self._log.error("certificate_refused", why=error.message, remedy=error.remedy, old_one_ends=ends)
            return
        self._problem = ""
        ends = self.material.ends.isoformat()
        self._log.info("certificate_loaded", serial=f"{self.material.serial:x}", ends=ends)

    def _read(self) -> TlsMaterial:
        material = self._files.read(self._now())
        for why in material.left_out:
            self._log.warning("client_ca_skipped", file=str(self._files.client_ca), why=why, remedy=REISSUE)
        return material

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / NS_PER_SECOND, UTC)


def _facts(path: Path) -> tuple[int, int, int]:
    try:
        facts = path.stat()
    except OSError:
        return (0, 0, 0)
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror})", "Check path and permissions.") from None


def _leaf(path: Path, chain: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        raise _broken(path, "holds no certificate in PEM", "Put the chain there, leaf first.") from None


def _check_key(path: Path, key: bytes, leaf: x509.Certificate) -> None:
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        raise _broken(path, "holds no plain private key in PEM", "Put the certificate's key there.") from None
    if public != leaf.public_key():
        raise _broken(path, "is not the key of the certificate", "Put a pair there that belongs together.")


def _authorities(path: Path, client_ca: bytes, now: datetime) -> tuple[bytes, tuple[str, ...]]:
    """The CAs of a bundle that can verify a client, in PEM, and what is wrong with each other one: neither
    listener trusts those, because one of them would refuse all that they issued.
    """
    try:
        found = x509.load_pem_x509_certificates(client_ca)
    except ValueError:
        found = []
    if not found:
        raise _broken(path, "holds no CA certificate in PEM", "Put the callers' CAs there.")
    flaws = [authority_problem(each, now) for each in found]
    good = [each.public_bytes(Encoding.PEM) for each, flaw in zip(found, flaws, strict=True) if not flaw]
    left_out = tuple(flaw for flaw in flaws if flaw)
    if not good:
        raise _broken(path, f"holds no CA that can verify a caller: {left_out[0]}", REISSUE)
    return b"".join(good), left_out


def authority_problem(authority: x509.Certificate, now: datetime) -> str:
    """Why no certificate of this CA is accepted at `now`, naming the CA, or an empty string."""
    try:
        flaw = authority_flaw(authority) or time_flaw(authority, now)
    except (ValueError, x509.DuplicateExtension):
        flaw = "it cannot be read"
    return f"the CA {authority.subject.rfc4514_string() or '(unnamed)'}: {flaw}" if flaw else ""


def _broken(path: Path, what: str, remedy: str) -> BrokerError:
    return BrokerError(Kind.CERTIFICATE_INVALID, f"{path} {what}.", remedy=remedy)
