"""TLS handshakes of the HTTPS listener: what the client sent of certificates, and why a handshake failed.

Knows: the standard library's TLS objects. Must not know: HTTP, what a certificate means.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

_DER = 2  # _ssl.ENCODING_DER, which the standard library does not name publicly before Python 3.13

Rejected = Callable[[str], None]
"""Told why a handshake was rejected: the TLS library's own words, which hold nothing of the client's."""


class ServerHandshake(ssl.SSLObject):
    """The connection of a context that `observe` has prepared."""

    rejected: Rejected

    def do_handshake(self) -> None:
        """Raises ssl.SSLError as ever; what failed for good is told first."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            self.rejected(f"client certificate: {error.verify_message}")
            raise
        except ssl.SSLError as error:
            self.rejected((error.reason or "unknown").lower().replace("_", " "))
            raise

    def presented_chain(self) -> tuple[bytes, ...]:
        """The certificates that the client has sent, in DER, leaf first; none where it sent none."""
        if self.getpeercert(True) is None:
            return ()
        inner: Any = vars(self)["_sslobj"]  # SSLObject itself has the method only from Python 3.13 on
        return tuple(each.public_bytes(_DER) for each in inner.get_unverified_chain())


def observe(context: ssl.SSLContext, rejected: Rejected) -> None:
    """From now on the context's connections are ServerHandshakes, and `rejected` hears why one failed."""

    class Observed(ServerHandshake):
        pass

    Observed.rejected = staticmethod(rejected)
    context.sslobject_class = Observed
