"""The grpc.aio server: credentials, limits, start and stop.

Knows: sockets and TLS. Must not know: any RPC.
"""

from __future__ import annotations

import errno
import resource

import grpc
import grpc.aio

from broker.listeners.grpc.accepting import Accepting
from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.grpc.router import SERVICES, rpc_router
from broker.listeners.grpc.tls12 import refuse_if_spoken
from broker.listeners.sockets import BoundSocket
from broker.listeners.tlsfiles import TlsInUse, TlsMaterial
from broker.model.units import MS_PER_SECOND

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 8192
_LOOPBACK = "127.0.0.1"
_SPARE_FILES = 2  # one file descriptor in so many may be a connection

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 8 * 1024),  # a lower soft limit would refuse some at random
    # Clients may ping each 20 s, also without a call: a silent call of theirs goes on behind any middlebox.
    ("grpc.http2.min_ping_interval_without_data_ms", 5 * MS_PER_SECOND),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.server_handshake_timeout_ms", 5 * MS_PER_SECOND),
    ("grpc.max_connection_age_ms", 600 * MS_PER_SECOND),
    ("grpc.max_connection_age_grace_ms", 600 * MS_PER_SECOND),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # identity only: no message grows after it arrived
)


class GrpcServer:
    """Serves broker.v1 on the address of `listener`, mTLS, TLS 1.3 only.

    gRPC takes no socket and listens as it binds, so it gets the address when it starts to accept.
    """

    def __init__(
        self,
        dependencies: ListenerDependencies,
        tls: TlsInUse,
        listener: BoundSocket,
        *,
        reflection: bool = False,
    ) -> None:
        self.address = listener.named
        """`host:port` as bound."""
        self._listener = listener
        self._tls = tls
        most = min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SPARE_FILES)
        own = (
            ("grpc.max_allowed_incoming_connections", most),
            ("grpc.so_reuseport", int(listener.shared)),  # else a second broker would take half of the calls
        )
        self._server = grpc.aio.server(options=(*OPTIONS, *own))
        router = rpc_router(dependencies, reflection=reflection)
        self._server.add_generic_rpc_handlers((router,))
        self._accepting = Accepting(self._server, router.of(SERVICES))

    async def start(self) -> None:
        """Returns once connections are accepted. Raises OSError with the address where it was lost, and
        OldTlsError, and serves nothing, when the port would speak TLS 1.2.
        """
        if self._listener.shared:  # a probe of that port might be answered by another process
            await self._probe()
        self._listener.hand_over(self._listen)
        await self._server.start()
        self._accepting.start()
        if self._listener.shared:
            return
        host, _, port = self.address.rpartition(":")
        try:
            await refuse_if_spoken(host.strip("[]"), int(port))
        except BaseException:
            await self._server.stop(None)
            raise

    async def _probe(self) -> None:
        """A server of the same kind on a port of its own, which serves nothing."""
        server = grpc.aio.server(options=OPTIONS)
        port = server.add_secure_port(f"{_LOOPBACK}:0", _credentials(self._tls))
        await server.start()
        try:
            await refuse_if_spoken(_LOOPBACK, port)
        finally:
            await server.stop(None)

    async def stop(self, grace_seconds: float) -> None:
        """Stops accepting, lets calls under way end for at most `grace_seconds`, then cancels them."""
        await self._server.stop(grace_seconds)

    def _listen(self, address: str) -> None:
        try:
            self._server.add_secure_port(address, _credentials(self._tls))
        except RuntimeError:  # gRPC says no more
            raise OSError(errno.EADDRINUSE, "the gRPC listener cannot listen there", address) from None


def _credentials(tls: TlsInUse) -> grpc.ServerCredentials:
    """grpc asks at each handshake, in a thread of its own; None means that nothing has changed."""
    given = tls.material

    def newer() -> grpc.ServerCertificateConfiguration | None:
        nonlocal given
        if tls.material is given:
            return None
        given = tls.material
        return _configuration(given)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given),
        newer,  # type: ignore[arg-type]  # the stub forgets that None may be returned
        require_client_authentication=True,
    )


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.chain)], root_certificates=material.client_ca
    )
