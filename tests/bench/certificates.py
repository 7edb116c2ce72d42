"""A throw-away CA for peers that have none of their own. Knows X.509; must not know who uses it."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .target import Credentials

LIFE = datetime.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM files: a server for 127.0.0.1, a client with a SPIFFE ID, their CA."""

    server_cert: Path
    server_key: Path
    client: Credentials


class _Authority:
    """A P-256 CA that lives as long as this object."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench CA")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.cert = _builder(self._name, self._name, self._key.public_key()).add_extension(
            constraints, critical=True
        )
        self.pem = self.cert.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, folder: Path, name: str, alternative: x509.GeneralName) -> tuple[Path, Path]:
        """Writes `name`.pem and `name`.key for a fresh key with one subject alternative name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        cert_file.write_bytes(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_file, key_file


def issue(folder: Path) -> Issued:
    """Makes all files in `folder`."""
    authority = _Authority()
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    server = authority.issue(folder, "server", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    client = authority.issue(
        folder, "client", x509.UniformResourceIdentifier("spiffe://bench/ns/demo/sa/caller")
    )
    return Issued(*server, Credentials(ca, *client))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFE)
    )
