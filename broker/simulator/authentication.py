"""Who may come in: the bearer of a key or token, and what it may do.

Knows: the Authorization header. Must not know: what an operation does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.simulator import api_error
from broker.simulator.organization import Organization
from broker.simulator.scopes import KEY_SCOPES, Rights

_BEARER = "Bearer "


class KeyAuthentication:
    """`keys` open everything but the administration; all others are the organization's."""

    def __init__(self, keys: Sequence[str], organization: Organization) -> None:
        self._keys = frozenset(keys)
        self._organization = organization

    def rights(self, headers: Mapping[bytes, bytes]) -> Rights:
        """Raises ApiError 401 for no bearer, or one that opens nothing (any more)."""
        key = bearer_of(headers)
        rights = Rights(KEY_SCOPES) if key in self._keys else self._organization.rights(key)
        if rights is None:
            raise api_error.wrong_key(key)
        return rights


def bearer_of(headers: Mapping[bytes, bytes]) -> str:
    """The key or token that a request came with. Raises ApiError 401 where it has none."""
    value = headers.get(b"authorization", b"").decode("latin-1")
    key = value[len(_BEARER) :] if value.startswith(_BEARER) else ""
    if not key:
        raise api_error.no_key()
    return key
