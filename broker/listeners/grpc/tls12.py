"""A probe: does a port still speak TLS 1.2?

Knows: the first record of a handshake (RFC 8446, 5.1). Must not know: grpc.
"""

from __future__ import annotations

import asyncio
import ssl

from broker.errors import ConfigError

_HANDSHAKE = b"\x16"
_SECONDS = 5.0


class OldTlsError(ConfigError):
    """The listener would accept TLS 1.2."""


async def refuse_if_spoken(host: str, port: int) -> None:
    """Offers TLS 1.2 and nothing newer. Raises OldTlsError when the other end goes along: its answer is
    then a handshake record (ServerHello), otherwise an alert or the end of the connection.
    """
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(_client_hello())
            await writer.drain()
            answer = await reader.read(1)
        except ConnectionResetError:
            answer = b""
        finally:
            writer.close()
    if answer == _HANDSHAKE:
        raise OldTlsError(
            "The gRPC listener would accept TLS 1.2. Import broker.listeners.grpc before grpc, "
            "or start the process with GRPC_SSL_CIPHER_SUITES=ECDHE-PSK-CHACHA20-POLY1305."
        )


def _client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is trusted or sent: only the first answer is looked at
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    handshake = context.wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        handshake.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise OldTlsError("The TLS 1.2 probe could not be made.")
