"""Several sources of keys behind one CredentialSource: a credential has the one it was given, or the store.

Knows: names of credentials. Must not know: how any source has its keys.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol

from broker.errors import store_unavailable
from broker.model.secret import Lease
from broker.ports import CredentialSource


class ConfiguredSource(CredentialSource, Protocol):
    """A CredentialSource from `start` to `aclose`, and how it is. `start` succeeds also where its keys are
    away.
    """

    def lease(self, credential: str) -> Coroutine[Any, Any, Lease]: ...

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    def unready(self) -> str:
        """What has kept every call from a key since the start, or an empty string."""

    def trouble(self) -> str:
        """What keeps some call from a key now, or would soon; an empty string where all is well."""


class IssuingSource(ConfiguredSource, Protocol):
    """A source that issues its keys itself."""

    def revoke(self, credential: str) -> None:
        """No call gets the present key any more; another is issued. Returns at once."""


class CredentialRouter:
    """Implements ports.CredentialSource and its life. Of `sources` some may be the same under several
    names.
    """

    def __init__(self, store: ConfiguredSource, sources: Mapping[str, IssuingSource]) -> None:
        self._store = store
        self._sources = dict(sources)
        self._distinct = tuple(dict.fromkeys(self._sources.values()))

    def lease(self, credential: str) -> Coroutine[Any, Any, Lease]:
        """See ports.CredentialSource."""
        return self._sources.get(credential, self._store).lease(credential)

    def revoke(self, credential: str) -> None:
        """Has the credential's key replaced now, where its source can: after OpenAI refused it, say. A stored
        key is its operator's to rotate.
        """
        source = self._sources.get(credential)
        if source is not None:
            source.revoke(credential)

    async def start(self) -> None:
        """The store first: other sources may ask it for what they need."""
        for source in (self._store, *self._distinct):
            await source.start()

    async def aclose(self) -> None:
        """The store last, for the same reason; each, also where another one fails."""
        async with AsyncExitStack() as ends:
            for source in (self._store, *self._distinct):
                ends.push_async_callback(source.aclose)

    def unready(self) -> str:
        """What has kept every call from a key since the start, or an empty string: one source that works
        serves its calls.
        """
        reasons = [source.unready() for source in (self._store, *self._distinct)]
        return "; ".join(reasons) if all(reasons) else ""

    def trouble(self) -> str:
        """What keeps some call from a key now, or would soon; an empty string where all is well."""
        return "; ".join(filter(None, (source.trouble() for source in (self._store, *self._distinct))))


class DenyAllSource:
    """A source that refuses: where there is no store, and for what no call may lease."""

    def __init__(self, message: str, remedy: str) -> None:
        self._message = message
        self._remedy = remedy

    async def lease(self, credential: str) -> Lease:
        """Refuses: see ports.CredentialSource."""
        del credential
        raise store_unavailable(self._message, self._remedy, 60.0)

    def revoke(self, credential: str) -> None:
        """Nothing to revoke."""

    async def start(self) -> None:
        """Nothing to start."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def unready(self) -> str:
        """It serves no call."""
        return self._message

    def trouble(self) -> str:
        """None: it is as it was configured."""
        return ""
