"""Commitments: HMACs that bind a record to content without showing it.

A plain hash of a short prompt can be guessed; an HMAC under a key that only the broker has cannot. The key is
the user's own, so that equal prompts of two users do not look equal. Must not know where the master secret is
kept.
"""

from __future__ import annotations

from hashlib import sha256

from broker.tlog import base64s

MASTER_BYTES = 32
_SALT = b"broker/commitment/v1"
_KEPT = 4096
_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class _Keyed:
    """HMAC-SHA-256 (RFC 2104) under one key of at most 64 bytes: two hashes that have read its pads, to be
    copied. The HMAC objects at hand cost several times as much where a key is new, as it is with each user.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER))
        self._outer = sha256(block.translate(_OUTER))

    def mac(self, content: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return outer.digest()


class Committer:
    """Commits under keys derived from one master secret by HKDF-SHA-256 (RFC 5869). `repr` shows nothing.

    >>> committer = Committer(bytes(32))
    >>> committer.commit("alice", "request", b"hi") == committer.commit("bob", "request", b"hi")
    False
    """

    __slots__ = ("_extracted", "_keyed")

    def __init__(self, master: bytes) -> None:
        """`master` must have at least 32 random bytes; raises ValueError otherwise."""
        if len(master) < MASTER_BYTES:
            raise ValueError("the commitment master secret needs at least 32 bytes; generate a new one")
        self._extracted = _Keyed(_Keyed(_SALT).mac(master))
        self._keyed: dict[tuple[str | None, str], _Keyed] = {}

    def commit(self, user: str | None, purpose: str, content: bytes) -> str:
        """The commitment to `content`, 43 characters of base64url.

        `purpose` (`request`, `response`, `input`) separates equal contents in different places. No user and
        the user "" have different keys.
        """
        keyed = self._keyed.get((user, purpose))
        if keyed is None:
            keyed = self._keyed_for(user, purpose)
        return base64s.to_url(keyed.mac(content))

    def _keyed_for(self, user: str | None, purpose: str) -> _Keyed:
        """The HMAC under the key of this user and purpose, kept: setting one up costs more than using it."""
        owner = b"none" if user is None else b"user:" + user.encode("utf-8", "surrogatepass")
        # HKDF-Expand for one block: T(1) = HMAC(PRK, info ‖ 0x01). A NUL ends the purpose, which holds none.
        key = self._extracted.mac(purpose.encode() + b"\x00" + owner + b"\x01")
        if len(self._keyed) >= _KEPT:
            self._keyed.clear()
        keyed = self._keyed[user, purpose] = _Keyed(key)
        return keyed

    def __repr__(self) -> str:
        return "Committer(…)"
