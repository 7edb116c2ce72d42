"""The listeners' certificate of a configuration: the files, and Vault where it is to write them.

Knows: who keeps the files, and that the listeners follow them. Must not know: TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.config import Settings
from broker.listeners.tlsfiles import TlsFiles, TlsInUse
from broker.ports import Clock

if TYPE_CHECKING:
    from broker.adapters.vault import ServerCertificate, Session


class Certificates:
    """From `open` to `aclose`."""

    def __init__(self, settings: Settings, clock: Clock, session: Session | None) -> None:
        tls = settings.tls
        self._files = TlsFiles(tls.certificate, tls.key, tls.client_ca)
        self._clock = clock
        self._issued = self._from_vault(settings, session)
        self._in_use: TlsInUse | None = None

    async def open(self) -> TlsInUse:
        """What the listeners present; it follows the files. Raises BrokerError where they cannot be used, or
        where Vault has to issue a certificate and does not.
        """
        if self._issued is not None:
            await self._issued.ensure()
        in_use = self._in_use = TlsInUse(self._files, self._clock)
        in_use.start()
        if self._issued is not None:
            self._issued.start()
        return in_use

    async def aclose(self) -> None:
        """Stops renewing and following."""
        if self._issued is not None:
            await self._issued.aclose()
        if self._in_use is not None:
            await self._in_use.aclose()

    def _from_vault(self, settings: Settings, session: Session | None) -> ServerCertificate | None:
        if settings.vault.pki_role is None or session is None:
            return None
        from broker.adapters.vault import ServerCertificateFiles
        from broker.app.from_vault import issued_certificate

        files = ServerCertificateFiles(self._files.certificate, self._files.key)
        return issued_certificate(settings, self._clock, session, files)
