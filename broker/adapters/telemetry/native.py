"""What native libraries write on standard error, line by line: gRPC tells of handshakes that failed there,
and nowhere else.

Knows: file descriptor 2, how gRPC's lines begin, its words for such a handshake. Must not know: TLS, metrics.
The process's own log goes where standard error went before, and so does every line that is not gRPC's.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator

_READ_BYTES = 64 * 1024
_HELD_BYTES = 1024 * 1024
"""Of what comes while nobody reads; more is dropped: a library's thread must not wait for our event loop."""
_LINE = re.compile(rb"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+\.(?:cc|h):\d+\] ")
_FAILED = re.compile(
    rb"Handshake failed with error SSL_ERROR_\w+"
    rb"(?:: error:[0-9a-f]+:SSL routines:\w+:(\w{1,64})(?:: ([ -~]{1,80}))?)?"
)
_UNVERIFIED = b"CERTIFICATE_VERIFY_FAILED"
_ERRORS, _ALL = b"EF", b"IWEF"

Rejected = Callable[[str], None]


class NativeLines:
    """Use it in `with`, around the event loop's work; `follow` from that loop. Lines of gRPC below an error
    are dropped once they are read, unless the operator has asked for all.
    """

    def __enter__(self) -> NativeLines:
        self._error = os.dup(2)
        self._lines, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError, AttributeError):  # no right to so much, or no Linux
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _HELD_BYTES)
        os.dup2(write, 2)
        os.close(write)
        self._python = sys.stderr
        sys.stderr = open(self._error, "w", buffering=1, errors="backslashreplace", closefd=False)
        faulthandler.enable(self._error)  # a crash is told past the pipe, which nobody would read any more
        debugging = os.environ.get("GRPC_VERBOSITY", "").upper() == "DEBUG"
        self._passed_on = _ALL if debugging else _ERRORS
        self._rest = b""
        self._rejected: Rejected = lambda _reason: None
        return self

    def __exit__(self, *_error: object) -> None:
        self._read()
        faulthandler.disable()
        os.dup2(self._error, 2)
        sys.stderr = self._python
        os.close(self._lines)

    def follow(self, rejected: Rejected) -> None:
        """From now on, reads as lines come; `rejected` hears why each handshake failed, in the words of the
        TLS library. What came before is not told: the listener's own probe is in it.
        """
        self._read()
        self._rejected = rejected
        asyncio.get_running_loop().add_reader(self._lines, self._read)

    def leave(self) -> None:
        """Reads no more as lines come; what is left is read at the end."""
        asyncio.get_running_loop().remove_reader(self._lines)

    def _read(self) -> None:
        for line in self._whole():
            if (failed := _FAILED.search(line)) is not None and _LINE.match(line):
                self._rejected(_reason(failed))
            elif not _LINE.match(line) or line[:1] in self._passed_on:
                os.write(self._error, line + b"\n")

    def _whole(self) -> Iterator[bytes]:
        while True:
            try:
                read = os.read(self._lines, _READ_BYTES)
            except BlockingIOError:
                return
            if not read:
                return
            *lines, self._rest = (self._rest + read).split(b"\n")
            self._rest = self._rest[:_READ_BYTES]
            yield from lines


def _reason(failed: re.Match[bytes]) -> str:
    """As the HTTPS listener words it.

    >>> _reason(_FAILED.search(
    ...     b"Handshake failed with error SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
    ...     b"CERTIFICATE_VERIFY_FAILED: self signed certificate"
    ... ))
    'client certificate: self signed certificate'
    """
    name, detail = failed[1], failed[2]
    if name == _UNVERIFIED and detail is not None:
        return f"client certificate: {detail.decode()}"
    return name.decode().lower().replace("_", " ") if name is not None else "the connection ended"
