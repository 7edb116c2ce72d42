"""Base64 in the two spellings the log uses, read strictly: exactly one text stands for one byte string.

Knows RFC 4648; must not know what the bytes mean.
"""

from __future__ import annotations

import base64
import binascii

from broker.tlog.malformed import MalformedError

_TO_URL = bytes.maketrans(b"+/", b"-_")


def to_std(raw: bytes) -> str:
    """Standard alphabet, padded (RFC 4648, section 4), as notes and checkpoints write it."""
    return base64.b64encode(raw).decode("ascii")


def from_std(text: str) -> bytes:
    """Reads what `to_std` writes and nothing else. Raises MalformedError."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedError("not base64") from error
    if to_std(raw) != text:
        raise MalformedError("base64 with stray bits")
    return raw


def to_url(raw: bytes) -> str:
    """URL alphabet, unpadded (RFC 4648, section 5; RFC 7515, section 2), as entries write it."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL, b"=").decode("ascii")


def from_url(text: str) -> bytes:
    """Reads what `to_url` writes and nothing else. Raises MalformedError."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedError("not base64url") from error
    if to_url(raw) != text:
        raise MalformedError("base64url with padding or stray bits")
    return raw
