"""Client certificate → Peer (SPIFFE X.509-SVID). The TLS layer has verified the path; we judge its parts.

Knows: which certificates name a workload. Must not know: sockets, trust stores, tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from cryptography import x509

from broker.errors import BrokerError, Kind
from broker.identity.chain import issuers_flaw, leaf_flaw
from broker.model.subject import Peer, Subject

_SPIFFE_ID = re.compile(r"spiffe://(?P<domain>[a-z0-9._-]{1,255})(?P<path>(?:/[A-Za-z0-9._-]+)+)\Z")
_MAX_ID_BYTES = 2048  # SPIFFE-ID, section 2.3
_CACHE_SIZE = 10_000
_MAX_CHAIN = 10
"""Certificates of a chain that are looked at: as many as the TLS libraries take on a path."""


class CertificateReader:
    """Reads the certificate chains of one trust domain's clients; results are cached.

    `max_life_seconds` is the longest accepted life of a client certificate. `read` does not look at
    the clock: call `check_time` on every call, since connections outlive certificates.
    """

    def __init__(self, trust_domain: str, max_life_seconds: int) -> None:
        self._trust_domain = trust_domain
        self._max_life = max_life_seconds
        self._peers: dict[tuple[bytes, ...], Peer] = {}

    def read(self, chain: tuple[bytes, ...]) -> Peer:
        """The peer that a chain names: what the client has sent, in DER, leaf first. Raises BrokerError
        CERTIFICATE_INVALID, saying which rule it breaks.
        """
        peer = self._peers.get(chain)
        if peer is None:
            peer = self._parse(chain)
            if len(self._peers) >= _CACHE_SIZE:
                self._peers.clear()
            self._peers[chain] = peer
        return peer

    def _parse(self, chain: tuple[bytes, ...]) -> Peer:
        try:
            leaf, *_ = presented = [x509.load_der_x509_certificate(der) for der in chain[:_MAX_CHAIN]]
            spiffe_id = _only_uri(leaf)
            _refuse_authority(leaf)
            _refuse_flaws(presented)
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
            raise _invalid("The client certificate cannot be read as an X.509-SVID.") from None
        match = _SPIFFE_ID.match(spiffe_id)
        if match is None or len(spiffe_id) > _MAX_ID_BYTES or _has_dot_segment(spiffe_id):
            raise _invalid("The URI in the client certificate is not a SPIFFE ID.")
        if match["domain"] != self._trust_domain:
            raise _invalid(f"The client certificate is not of the trust domain {self._trust_domain}.")
        begin = int(leaf.not_valid_before_utc.timestamp())
        end = int(leaf.not_valid_after_utc.timestamp())
        if end - begin > self._max_life:
            raise _invalid(f"The client certificate lives longer than {self._max_life} s.")
        return Peer(spiffe_id, sha256(chain[0]).hexdigest(), begin, end)


def check_time(peer: Peer, now_seconds: int) -> None:
    """Raises CERTIFICATE_INVALID unless the certificate is valid at this very moment."""
    if not peer.not_before <= now_seconds < peer.not_after:
        raise _invalid("The client certificate of this connection is outside its validity.")


def subject_of(peer: Peer) -> Subject:
    """The subject a peer speaks for. The tenant is the `ns` segment of `/ns/<tenant>/sa/<name>`,
    otherwise the trust domain.

    >>> subject_of(Peer("spiffe://dev.broker/ns/demo/sa/batch", "00", 0, 1)).tenant
    'demo'
    """
    parts = peer.spiffe_id.removeprefix("spiffe://").split("/")
    tenant = parts[2] if len(parts) > 2 and parts[1] == "ns" else parts[0]  # noqa: PLR2004 - /ns/<tenant>
    return Subject(peer.spiffe_id, tenant)


def _only_uri(leaf: x509.Certificate) -> str:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:  # X.509-SVID, section 2: exactly one URI SAN
        raise ValueError("an X.509-SVID has exactly one URI SAN")
    return uris[0]


def _refuse_flaws(presented: Sequence[x509.Certificate]) -> None:
    """Raises CERTIFICATE_INVALID where one of the chain is not as our profile wants it (`identity.chain`)."""
    flaw = leaf_flaw(presented[0])
    if flaw:
        raise _invalid(f"The client certificate is not accepted: {flaw}.")
    flaw = issuers_flaw(presented)
    if flaw:
        raise _invalid(f"A CA of the client certificate's chain is not accepted: {flaw}.")


def _refuse_authority(leaf: x509.Certificate) -> None:
    """A leaf is no CA and signs no certificates (X.509-SVID, sections 4.1 and 4.3)."""
    for extension in leaf.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise ValueError("a CA certificate identifies no workload")
        if isinstance(value, x509.KeyUsage) and (value.key_cert_sign or value.crl_sign):
            raise ValueError("a signing certificate identifies no workload")


def _has_dot_segment(spiffe_id: str) -> bool:
    return any(part in {".", ".."} for part in spiffe_id.split("/"))


def _invalid(message: str) -> BrokerError:
    return BrokerError(
        Kind.CERTIFICATE_INVALID,
        message,
        remedy="Present a current X.509-SVID with exactly one spiffe:// URI, issued by this broker's CA.",
    )
