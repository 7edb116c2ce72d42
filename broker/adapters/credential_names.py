"""What a credential's name, its key and the reason of a quarantine may be, the same in every store.

Knows: their alphabets. Must not know: stores. Nothing that is refused is quoted: it could be a key.
"""

from __future__ import annotations

import re

from broker.errors import BrokerError, store_unavailable

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_VALUE = re.compile(r"[\x21-\x7e]{8,4096}\Z")
_REASON_CHARACTERS = 200
_KEY_LIKE = re.compile(r"sk-|\S{40}")
_RETRY_SECONDS = 2.0


def is_name(name: str) -> bool:
    """Whether it can be a credential's name, and hence no path."""
    return _NAME.match(name) is not None


def is_key(value: str) -> bool:
    """Whether it can be a key: what fits into a header, and no more."""
    return _VALUE.match(value) is not None


def refuse_name(name: str) -> None:
    """Raises CREDENTIAL_STORE_UNAVAILABLE for what is no name."""
    if not is_name(name):
        raise _refusal(
            "The credential's name is not 1 to 63 lower-case letters, digits and . _ -",
            "Choose another, or correct it in the policy.",
        )


def refuse_key(value: str) -> None:
    """Raises CREDENTIAL_STORE_UNAVAILABLE for what is no key."""
    if not is_key(value):
        raise _refusal(
            "The key is not 8 to 4096 visible ASCII characters.",
            "Give the key alone, without quotes, spaces or further lines.",
        )


def refuse_reason(reason: str) -> None:
    """Raises CREDENTIAL_STORE_UNAVAILABLE for a reason that is empty, long, or could hold the key itself."""
    if not reason.strip() or len(reason) > _REASON_CHARACTERS or not reason.isprintable():
        raise _refusal(
            f"The reason is not 1 to {_REASON_CHARACTERS} printable characters.",
            "Say in a few words what happened.",
        )
    if _KEY_LIKE.search(reason):
        raise _refusal(
            "The reason looks as if it held a key, and everybody who lists keys would see it.",
            "Say what happened without the key.",
        )


def _refusal(message: str, remedy: str) -> BrokerError:
    return store_unavailable(message, remedy, _RETRY_SECONDS)
