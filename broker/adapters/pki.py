"""The development PKI: a CA, the broker's certificate and one SVID per workload, in one directory.

Knows: X.509 as RFC 5280 and SPIFFE's X.509-SVID want it. Must not know: who may do what. For `broker dev`
and tests only: the CA's key lies beside what it signs.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.errors import BrokerError, Kind

_CA_LIFE = timedelta(days=30)
_LEAF_LIFE = timedelta(hours=24)
_RENEW_BEFORE = timedelta(hours=1)
_BACKDATED = timedelta(minutes=1)  # a client's clock may be a little behind
_SERVER_AND_CLIENT = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # X.509-SVID, 4.4
_LOOPBACK: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


@dataclass(frozen=True, slots=True)
class IssuedIdentity:
    """A certificate and its private key, as PEM files (0600), and the SPIFFE ID it names."""

    spiffe_id: str
    cert: Path
    key: Path


class DevPki:
    """The PKI of one directory. A leaf with less than an hour to live is made anew when it is asked for."""

    def __init__(
        self,
        directory: Path,
        trust_domain: str,
        ca: x509.Certificate,
        ca_key: ec.EllipticCurvePrivateKey,
        now: datetime,
    ) -> None:
        self._directory = directory
        self._trust_domain = trust_domain
        self._ca = ca
        self._ca_key = ca_key
        self._now = now

    @classmethod
    def load_or_create(
        cls, directory: Path, trust_domain: str = "dev.broker", now: datetime | None = None
    ) -> DevPki:
        """The PKI in `directory`, made (0700) where it is missing. A CA with less than a leaf's life left is
        replaced, and every leaf of the old one with it. Raises OSError where the directory cannot be used.
        """
        now = now or datetime.now(UTC)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        cert_path, key_path = directory / "ca.pem", directory / "ca.key"
        known = _read(cert_path, key_path)
        if known is None or known[0].not_valid_after_utc - now < _LEAF_LIFE + _RENEW_BEFORE:
            key = ec.generate_private_key(ec.SECP256R1())
            known = _authority(key, trust_domain, now), key
            _write(key_path, _key_pem(key))
            _write(cert_path, known[0].public_bytes(serialization.Encoding.PEM))
        return cls(directory, trust_domain, *known, now)

    @property
    def ca(self) -> Path:
        """The CA certificate (PEM): what both sides trust."""
        return self._directory / "ca.pem"

    def server(self, path: str = "/broker") -> IssuedIdentity:
        """The broker's own certificate: localhost, 127.0.0.1, ::1 and its SPIFFE ID."""
        return self._leaf(self._directory / "server", path, _LOOPBACK)

    def workload(self, name: str, tenant: str = "demo") -> IssuedIdentity:
        """An X.509-SVID for `/ns/<tenant>/sa/<name>`: exactly one URI SAN and nothing else, 24 h."""
        if not _is_segment(name) or not _is_segment(tenant):
            raise BrokerError(
                Kind.BAD_REQUEST,
                "A workload's name and tenant are ASCII letters, digits, - and _ only.",
                remedy="Choose another name.",
            )
        return self._leaf(self._directory / tenant / name, f"/ns/{tenant}/sa/{name}", ())

    def _leaf(self, stem: Path, path: str, names: Sequence[x509.GeneralName]) -> IssuedIdentity:
        spiffe_id = f"spiffe://{self._trust_domain}{path}"
        wanted = IssuedIdentity(spiffe_id, stem.with_suffix(".pem"), stem.with_suffix(".key"))
        known = _read(wanted.cert, wanted.key)
        if known is None or not self._still_good(known[0], spiffe_id):
            stem.parent.mkdir(mode=0o700, exist_ok=True)
            key = ec.generate_private_key(ec.SECP256R1())
            cert = self._issue(key.public_key(), [x509.UniformResourceIdentifier(spiffe_id), *names])
            _write(wanted.key, _key_pem(key))
            _write(wanted.cert, cert.public_bytes(serialization.Encoding.PEM))
        return wanted

    def _still_good(self, cert: x509.Certificate, spiffe_id: str) -> bool:
        """Issued by this very CA, for this ID, with an hour left."""
        try:
            cert.verify_directly_issued_by(self._ca)
            names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return uris == [spiffe_id] and cert.not_valid_after_utc - self._now >= _RENEW_BEFORE

    def _issue(
        self, public: ec.EllipticCurvePublicKey, names: Sequence[x509.GeneralName]
    ) -> x509.Certificate:
        """RFC 5280: with an empty subject the SAN is critical (4.2.1.6); no CA, signs no certificate."""
        builder = (
            _builder(x509.Name([]), self._ca.subject, public, self._now, _LEAF_LIFE)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_SERVER_AND_CLIENT), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False
            )
        )
        return builder.sign(self._ca_key, hashes.SHA256())


def _authority(key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime) -> x509.Certificate:
    """A self-signed CA that signs leaves only, of this trust domain and for this machine."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{trust_domain} development CA")])
    permitted = [
        x509.UniformResourceIdentifier(trust_domain),
        x509.DNSName("localhost"),
    ]  # no IP ranges: gRPC's BoringSSL refuses any chain that carries such a constraint
    builder = (
        _builder(subject, subject, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]),
            critical=False,
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """X.509-SVID, 4.3: a CA signs certificates (and CRLs); a leaf signs handshakes and nothing else."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _read(cert: Path, key: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """A certificate with the private key that fits it, or None."""
    try:
        found = x509.load_pem_x509_certificate(cert.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != found.public_key():
        return None
    return found, private


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Replaces a file, 0600 from its first moment."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(content)
    temporary.replace(path)


def _is_segment(text: str) -> bool:
    """One SPIFFE ID path segment (SPIFFE-ID, 2.2) that is a safe file name too."""
    return text.replace("-", "").replace("_", "").isalnum() and text.isascii()
