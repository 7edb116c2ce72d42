"""A PKI role of Vault: signs a certificate for a private key that never leaves this process's machine.

Knows: PKI's API and answers. Must not know: keys, files, when a certificate is due, threads.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hvac.api.secrets_engines import Pki  # type: ignore[import-untyped]

from broker.adapters.vault.errors import VaultError, VaultErrorCode, VaultRefusedError, refused
from broker.adapters.vault.hvac_adapter import HvacAdapter
from broker.adapters.vault.session import Session


class _Issued(msgspec.Struct, frozen=True):
    certificate: str
    issuing_ca: str
    ca_chain: tuple[str, ...] = ()


class PkiRole:
    """The role `<mount>/roles/<role>`. The names in a request are its SANs: the role says which it allows."""

    def __init__(self, session: Session, *, mount: str, role: str) -> None:
        self._session = session
        self._mount = mount.strip("/")
        self._role = role

    async def sign(self, request: x509.CertificateSigningRequest) -> tuple[x509.Certificate, ...]:
        """The chain to present, leaf first, without the root. It is for the request's key and names exactly.
        Raises BrokerError CREDENTIAL_STORE_UNAVAILABLE, within 2 s.
        """
        pem = request.public_bytes(Encoding.PEM).decode("ascii")
        answer = await self._session.ask(lambda adapter: self._sign(adapter, pem))
        if isinstance(answer, VaultError):
            raise answer.error()
        try:
            return _chain(answer, request)
        except (KeyError, ValueError, x509.ExtensionNotFound):
            raise self._unasked().refusal.error() from None

    def _sign(self, adapter: HvacAdapter, pem: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = Pki(adapter).sign_certificate(
                self._role, pem, common_name="", mount_point=self._mount
            )
        except VaultRefusedError as error:
            if error.refusal.cause is VaultErrorCode.REJECTED:
                raise refused(
                    VaultErrorCode.REJECTED, f"{self._mount}/sign/{self._role}", self._remedy()
                ) from None
            raise
        return answer

    def _unasked(self) -> VaultRefusedError:
        return refused(
            VaultErrorCode.GARBLED, ", a certificate with other names or for another key,", self._remedy()
        )

    def _remedy(self) -> str:
        return (
            f"The role {self._role} must allow the broker's SPIFFE ID and vault.server_names, and keep a "
            f"request's names: vault read {self._mount}/roles/{self._role}"
        )


def _chain(answer: dict[str, Any], request: x509.CertificateSigningRequest) -> tuple[x509.Certificate, ...]:
    """Raises ValueError and KeyError for what was not asked for."""
    issued = msgspec.convert(answer["data"], _Issued)
    leaf, *others = (
        x509.load_pem_x509_certificate(pem.encode())
        for pem in (issued.certificate, *(issued.ca_chain or (issued.issuing_ca,)))
    )
    if leaf.public_key() != request.public_key() or names_of(leaf) != names_of(request):
        raise ValueError("not what was asked for")
    return (leaf, *(other for other in others if other.subject != other.issuer))


def names_of(named: x509.Certificate | x509.CertificateSigningRequest) -> frozenset[x509.GeneralName]:
    """The subject alternative names. Raises ExtensionNotFound."""
    return frozenset(named.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
