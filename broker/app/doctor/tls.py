"""The listeners' TLS files: do they belong together, are they in time, are they private.

Knows: X.509 files. Must not know: listeners.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from broker.app.doctor.check import Check, Level
from broker.config import Settings
from broker.listeners.tlsfiles import REISSUE, authority_problem

_SUBJECT = "tls"
_SOON = timedelta(hours=1)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_tls(settings: Settings) -> Iterator[Check]:
    """The server's certificate and key, and the CAs of clients."""
    tls = settings.tls
    if settings.vault.pki_role is not None and not tls.certificate.exists():
        yield Check(
            _SUBJECT, Level.GOOD, f"{tls.certificate} is written when the broker starts: Vault issues it."
        )
    else:
        chain = _certificates(tls.certificate)
        yield from _in_time(tls.certificate, chain[:1])
        yield _pair(tls.certificate, tls.key, chain)
        yield _private(tls.key)
    yield from _authorities(tls.client_ca)


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return []


def _in_time(path: Path, certificates: list[x509.Certificate]) -> Iterator[Check]:
    if not certificates:
        yield Check(
            _SUBJECT,
            Level.BAD,
            f"{path} holds no certificate that can be read.",
            "Check path, owner and PEM.",
        )
        return
    now = datetime.now(UTC)
    ends = min(each.not_valid_after_utc for each in certificates)
    begins = max(each.not_valid_before_utc for each in certificates)
    until = f"until {ends:%Y-%m-%d %H:%M} UTC"
    if not begins <= now < ends:
        yield Check(
            _SUBJECT,
            Level.BAD,
            f"{path} is not valid now (from {begins:%Y-%m-%d %H:%M} {until}).",
            "Renew it.",
        )
    elif ends - now < _SOON:
        yield Check(_SUBJECT, Level.WARNING, f"{path} is valid {until} only.", "Renew it.")
    else:
        yield Check(_SUBJECT, Level.GOOD, f"{path} is valid {until}.")


def _pair(certificate: Path, key: Path, chain: list[x509.Certificate]) -> Check:
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return Check(
            _SUBJECT, Level.BAD, f"{key} holds no private key that can be read.", "Check path, owner and PEM."
        )
    if chain and private.public_key() != chain[0].public_key():
        return Check(
            _SUBJECT, Level.BAD, f"{key} is not the key of {certificate}.", "Put the matching pair there."
        )
    return Check(_SUBJECT, Level.GOOD, f"{key} is the key of {certificate}.")


def _private(key: Path) -> Check:
    try:
        exposed = key.stat().st_mode & _OTHERS
    except OSError:
        exposed = 0
    if exposed:
        return Check(_SUBJECT, Level.WARNING, f"{key} is open to others.", f"chmod 600 {key}")
    return Check(_SUBJECT, Level.GOOD, f"{key} is for its owner alone.")


def _authorities(path: Path) -> Iterator[Check]:
    """Each CA as the listeners judge it when they start: one that they would leave out is bad."""
    found = _certificates(path)
    now = datetime.now(UTC)
    problems = [problem for each in found if (problem := authority_problem(each, now))]
    for problem in problems:
        yield Check(_SUBJECT, Level.BAD, f"{path}: {problem}.", REISSUE)
    if not problems:
        yield from _in_time(path, found)
