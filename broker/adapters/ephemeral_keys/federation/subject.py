"""The workload's own token, from a file that something else keeps fresh: spiffe-helper, or the kubelet.

Knows: files, and a JWT's outside (RFC 7519; a JWT-SVID is one). Must not know: what it is exchanged for.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from broker.adapters.ephemeral_keys import ErrorCode, SourceError
from broker.model.secret import Secret
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

_LARGEST_BYTES = 16_384
_SECONDS = 1.0
_JWT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\Z")
_KEEPER = "See that whatever keeps it fresh (spiffe-helper, the kubelet) runs."


class _Claims(msgspec.Struct, frozen=True):
    exp: float


class SubjectToken:
    """Reads one file anew each time. Use it from one event loop; `close` ends its thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="subject-token")

    async def read(self) -> Secret | SourceError:
        """The token that is there now; a SourceError where it is missing, no JWT, or past its end: whoever it
        is shown to would refuse it. Its signature is for them to check. Never raises.
        """
        reading = asyncio.get_running_loop().run_in_executor(self._thread, self.read_blocking)
        await asyncio.wait({reading}, timeout=_SECONDS)
        if not reading.done():
            reading.cancel()
            return self._refused("cannot be read in time")
        return reading.result()

    def read_blocking(self) -> Secret | SourceError:
        """What `read` gives, without its deadline."""
        content = self._content()
        if content is None:
            return self._refused("cannot be read")
        ends = _end_of(content)
        if ends is None:
            return self._refused("does not hold a JWT")
        if ends <= self._clock.now_ns() / NS_PER_SECOND:
            return self._refused("has expired")
        return Secret(content)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _content(self) -> str | None:
        try:
            with self._path.open("rb") as file:
                return file.read(_LARGEST_BYTES + 1).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None

    def _refused(self, what: str) -> SourceError:
        return SourceError(ErrorCode.NO_SUBJECT, f"The subject token in {self._path} {what}.", _KEEPER)


def _end_of(token: str) -> float | None:
    """The `exp` of a JWT, unverified; None where there is none to read."""
    parts = _JWT.match(token) if len(token) <= _LARGEST_BYTES else None
    if parts is None:
        return None
    middle = parts.group(1)
    try:
        claims = base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4))
        return msgspec.json.decode(claims, type=_Claims).exp
    except (binascii.Error, msgspec.MsgspecError):
        return None
