"""The address of a listener: taken when the process starts, listened on when it is ready.

Knows: TCP sockets and who else may bind an address. Must not know: TLS, what is served there.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class BoundSocket:
    """`address` (`host:port`; port 0 picks a free one) belongs to this process from now on. Who connects is
    refused until `listen`: no connection waits in the kernel for a broker that is not ready.

    SO_REUSEADDR is needed to bind beside what the last process left in TIME_WAIT. While it stays set, Linux
    lets whoever sets it, too, bind the same address, and the first to listen gets it; so it is off from here
    to `listen`, and set again just before, because connections that are accepted inherit it. Elsewhere than
    on Linux an address may be lost in between; `listen` tells.
    """

    def __init__(self, address: str, *, shared: bool = False, inherited: int | None = None) -> None:
        """`shared`: other processes of this broker bind it, too, and the kernel shares connections out among
        those that listen. `inherited`: the file descriptor of one that is bound already, for several
        processes to listen on. Raises OSError with the address where it cannot be had.
        """
        self._asked = address
        self.shared = shared
        host, _, port = address.rpartition(":")
        self._host = host
        try:
            self.socket = (
                _bound(host.strip("[]"), int(port), shared=shared)
                if inherited is None
                else socket.socket(fileno=inherited)
            )
            self.socket.setblocking(False)
        except (ValueError, OverflowError):
            raise OSError(errno.EINVAL, "not an address host:port", address) from None
        except OSError as error:
            raise self._refused(error) from None

    @property
    def address(self) -> str:
        """`host:port` as bound, the host in digits."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def named(self) -> str:
        """`host:port` as bound, the host as it was asked for."""
        return f"{self._host}:{self.socket.getsockname()[1]}"

    def listen(self, backlog: int) -> None:
        """Lets the kernel take connections. Raises OSError with the address."""
        try:
            _share(self.socket)
            self.socket.listen(backlog)
        except OSError as error:
            raise self._refused(error) from None

    def hand_over(self, bind: Callable[[str], _T]) -> _T:
        """What `bind` makes of `named`: for a library that takes no socket, and binds for itself. The address
        is this process's until the library has it; where it fails, too, it is given up.
        """
        named = self.named
        if sys.platform == "linux":
            _share(self.socket)
        else:
            self.close()
        try:
            return bind(named)
        finally:
            self.close()

    def close(self) -> None:
        """Gives the address up. Idempotent."""
        self.socket.close()

    def _refused(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, self._asked)


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        _share(bound)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        if sys.platform == "linux":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        bound.close()
        raise
    return bound


def _share(bound: socket.socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _family(host: str) -> socket.AddressFamily:
    """IPv4, unless the host has no such address. Raises OSError for a name that nobody knows."""
    if ":" in host:
        return socket.AF_INET6
    known = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    families = {family for family, *_ in known}
    return socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
