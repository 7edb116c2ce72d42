"""An address belongs to the process that took it, and nobody waits there before it listens."""

from __future__ import annotations

import errno
import socket
import sys

import pytest

from broker.listeners.sockets import BoundSocket

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system gives no such promise")


def numbers(bound: BoundSocket) -> tuple[str, int]:
    host, port = bound.socket.getsockname()[:2]
    return host, port


def take(address: tuple[str, int]) -> int | None:
    """As a server takes it, the gRPC library's among them; the errno where it cannot."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(address)
            other.listen()
        except OSError as error:
            return error.errno
    return None


def is_refused(address: tuple[str, int]) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(address) == errno.ECONNREFUSED


@LINUX
def test_nobody_else_gets_an_address_between_bind_and_listen() -> None:
    bound = BoundSocket("127.0.0.1:0")
    assert take(numbers(bound)) == errno.EADDRINUSE
    bound.listen(1)
    assert take(numbers(bound)) == errno.EADDRINUSE
    address = numbers(bound)
    bound.close()
    assert take(address) is None


def test_who_connects_before_listen_is_refused() -> None:
    bound = BoundSocket("127.0.0.1:0")
    assert is_refused(numbers(bound))
    bound.listen(1)
    assert not is_refused(numbers(bound))
    bound.close()


def test_a_library_that_binds_for_itself_gets_the_address() -> None:
    bound = BoundSocket("localhost:0")
    address = numbers(bound)
    named, took = bound.hand_over(lambda named: (named, take(address)))
    assert (named, took) == (f"localhost:{address[1]}", None)
    assert bound.socket.fileno() == -1  # ours is not in its way any more


def test_the_next_process_gets_the_address_of_the_last_at_once() -> None:
    """What a server closes first stays in TIME_WAIT for a minute, with the options of its listener."""
    bound = BoundSocket("127.0.0.1:0")
    bound.listen(1)
    with socket.create_connection(numbers(bound)) as caller:
        bound.socket.accept()[0].close()
        assert caller.recv(1) == b""
    address = bound.address
    bound.close()
    again = BoundSocket(address)
    again.listen(1)
    again.close()


@pytest.mark.parametrize(
    ("address", "number"),
    [("127.0.0.1", errno.EINVAL), ("127.0.0.1:70000", errno.EINVAL), ("x.invalid:1", socket.EAI_NONAME)],
)
def test_what_is_no_address_is_named(address: str, number: int) -> None:
    with pytest.raises(OSError, match=address) as caught:
        BoundSocket(address)
    assert caught.value.filename == address
    if number == errno.EINVAL:
        assert caught.value.errno == number


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=address) as caught:
            BoundSocket(address)
    assert caught.value.errno == errno.EADDRINUSE
