"""What a client's certificate chain must be, beyond what the TLS libraries verify.

The two listeners stand on two TLS libraries. Both build and verify the path (RFC 5280, 6), but one is
stricter about keys, the other about extensions. This profile is what both accept, so that the listeners give
every chain the same answer. Knows: X.509. Must not know: sockets, trust stores, SPIFFE IDs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import SignatureAlgorithmOID as Signature

MIN_RSA_BITS = 2048
_LEAF_CURVES = frozenset({"secp256r1", "secp384r1"})
_CA_CURVES = _LEAF_CURVES | {"secp521r1"}
_SIGNATURES = frozenset(
    {
        Signature.ECDSA_WITH_SHA256,
        Signature.ECDSA_WITH_SHA384,
        Signature.ECDSA_WITH_SHA512,
        Signature.RSA_WITH_SHA256,
        Signature.RSA_WITH_SHA384,
        Signature.RSA_WITH_SHA512,
        Signature.RSASSA_PSS,
        Signature.ED25519,
    }
)
_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


def leaf_flaw(leaf: x509.Certificate) -> str:
    """What bars a certificate from naming a client, or an empty string. Raises ValueError where malformed."""
    if not _is_strong(leaf, _LEAF_CURVES):
        return f"its key is neither EC P-256 or P-384 nor RSA of {MIN_RSA_BITS} bits or more"
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.value.digital_signature:
        return "its key usage lacks digitalSignature (X.509-SVID, 4.3)"
    names = _extension(leaf, x509.SubjectAlternativeName)
    if not leaf.subject.rdns and names is not None and not names.critical:
        return "it has no subject, and its subject alternative name is not critical (RFC 5280, 4.1.2.6)"
    return _signature_flaw(leaf)


def issuers_flaw(presented: Sequence[x509.Certificate]) -> str:
    """What is wrong with a certificate that issued the leaf, or one above it, among those that the client
    sent, or an empty string. Those that issued nothing on the way do not count. Raises ValueError for
    malformed ones.
    """
    leaf, *others = presented
    below, checked = [leaf], {leaf}
    while below:
        issued = below.pop()
        for other in others:
            if other in checked or not _issued(other, issued):
                continue
            flaw = authority_flaw(other)
            if not flaw and other.issuer != other.subject:  # a root's own signature proves nothing
                flaw = _signature_flaw(other)
            if flaw:
                return flaw
            checked.add(other)
            below.append(other)
    return ""


def authority_flaw(authority: x509.Certificate) -> str:
    """What bars a certificate from issuing others, or an empty string. Raises ValueError where malformed."""
    basic = _extension(authority, x509.BasicConstraints)
    if basic is None or not basic.value.ca:
        return "it is no CA: basicConstraints with CA:TRUE is missing"
    if not basic.critical:
        return "its basicConstraints are not critical (RFC 5280, 4.2.1.9)"
    usage = _extension(authority, x509.KeyUsage)
    if usage is None or not usage.value.key_cert_sign:
        return "its keyUsage lacks keyCertSign (RFC 5280, 4.2.1.3)"
    if _extension(authority, x509.SubjectKeyIdentifier) is None:
        return "its subjectKeyIdentifier is missing (RFC 5280, 4.2.1.2)"
    if not _is_strong(authority, _CA_CURVES) and not isinstance(
        authority.public_key(), ed25519.Ed25519PublicKey
    ):
        return f"its key is neither EC P-256, P-384 or P-521, Ed25519, nor RSA of {MIN_RSA_BITS} bits or more"
    return ""


def time_flaw(authority: x509.Certificate, now: datetime) -> str:
    """Why a CA cannot verify anything at `now`, or an empty string."""
    if now < authority.not_valid_before_utc:
        return f"it is not valid before {authority.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if now >= authority.not_valid_after_utc:
        return f"it expired on {authority.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return ""


def _signature_flaw(issued: x509.Certificate) -> str:
    """Of a certificate that another one issued."""
    if issued.signature_algorithm_oid not in _SIGNATURES:
        return "it is signed with an algorithm that is no longer safe; use SHA-256 or better"
    if _extension(issued, x509.AuthorityKeyIdentifier) is None and issued.issuer != issued.subject:
        return "its authorityKeyIdentifier is missing (RFC 5280, 4.2.1.1)"
    return ""


def _issued(authority: x509.Certificate, issued: x509.Certificate) -> bool:
    """Whether the signature is this authority's: a name alone could be anybody's."""
    if authority.subject != issued.issuer:
        return False
    try:
        issued.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    except UnsupportedAlgorithm:  # not to be checked here, so not to be trusted to be another's
        return True
    return True


def _is_strong(certificate: x509.Certificate, curves: frozenset[str]) -> bool:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        return False
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in curves
    return isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS


def _extension(certificate: x509.Certificate, kind: type[_ExtensionT]) -> x509.Extension[_ExtensionT] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
