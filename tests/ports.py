"""Loopback ports for servers that cannot choose one themselves, or whose port must be known beforehand.

Asking the system for a port and giving it back promises nothing: it may give the same one to the next who
asks, or to an outgoing connection. So a port is taken here from below the range of outgoing connections, and
claimed: the UDP port of that number stays bound until the process that asked has ended.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack

PORTS = range(10_000, 32_768)
"""Above the well-known services, below what Linux gives to outgoing connections (`ip_local_port_range`)."""
_LOOPBACK = "127.0.0.1"
_CLAIMS: list[socket.socket] = []
"""Held for as long as this process lives; another process of tests finds them taken."""


def free_port() -> int:
    """A port on which nothing listens, and which no other call of this function, in any process, is given."""
    while True:
        port = secrets.choice(PORTS)
        if _claim(port):
            return port


def _claim(port: int) -> bool:
    with ExitStack() as stack:
        claim = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        try:
            claim.bind((_LOOPBACK, port))
            socket.create_server((_LOOPBACK, port)).close()
        except OSError:
            return False
        stack.pop_all()
        _CLAIMS.append(claim)
        return True
