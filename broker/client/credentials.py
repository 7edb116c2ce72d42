"""A service's certificate, key and trusted CA, for TLS over HTTP and gRPC.

Knows: PEM files. Must not know: tokens.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths of PEM files: the client certificate (chain), its private key, and the CA of the broker.

    The files are read when a context or channel is made, not before. A context stays as it was made; the
    clients and channels of this package follow files that are replaced. Raises OSError where a file cannot be
    read, ssl.SSLError where it does not hold what it should.
    """

    cert: Path | str
    key: Path | str = field(repr=False)
    ca: Path | str

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes whenever one of the files is replaced or written, also behind a symbolic link."""
        return tuple(_facts(path) for path in (self.cert, self.key, self.ca))

    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.3, host name checked, no CA trusted but `ca`; for httpx's `verify`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.cert, self.key)
        return context

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """The same for gRPC."""
        ca, key, cert = (Path(path).read_bytes() for path in (self.ca, self.key, self.cert))
        return grpc.ssl_channel_credentials(ca, key, cert)


def _facts(path: Path | str) -> tuple[int, int, int]:
    try:
        facts = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return facts.st_ino, facts.st_mtime_ns, facts.st_size
