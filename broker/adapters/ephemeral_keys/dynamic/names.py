"""The names of our service accounts: by them a restarted broker knows its own, and nobody else's.

Knows: `broker-<instance>-<credential>-<nonce>`. Must not know: the admin API. Pure.

    >>> names = AccountNames("00112233aabbccdd")
    >>> names.new("chat-team", b"12345678")
    'broker-00112233aabbccdd-chat-team-3132333435363738'
    >>> names.are_ours(names.new("chat-team", b"12345678"))
    True
    >>> names.are_ours("broker-00112233aabbccdd-chat-team")
    False
"""

from __future__ import annotations

import re

INSTANCE_BYTES = 8
NONCE_BYTES = 8
CREDENTIAL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_INSTANCE = re.compile(r"[0-9a-f]{16}\Z")


class AccountNames:
    """Names of one instance. Raises ValueError for one that is not 16 hexadecimal digits."""

    def __init__(self, instance: str) -> None:
        if not _INSTANCE.match(instance):
            raise ValueError("an instance is 16 hexadecimal digits")
        self._prefix = f"broker-{instance}-"
        credential = r"[a-z0-9][a-z0-9._-]{0,62}"
        self._ours = re.compile(rf"{self._prefix}{credential}-[0-9a-f]{{{2 * NONCE_BYTES}}}\Z")

    def new(self, credential: str, nonce: bytes) -> str:
        """The name of another account for a credential; `nonce` is NONCE_BYTES random bytes."""
        return f"{self._prefix}{credential}-{nonce.hex()}"

    def are_ours(self, name: str) -> bool:
        """Whether only this instance can have given this name."""
        return self._ours.match(name) is not None
