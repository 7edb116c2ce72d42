"""A worker's source of keys: its coordinator, which has the real one.

Knows: for how long a lease may be used again. Must not know: where keys come from.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from broker.adapters.coordination.channel import Channel, Members
from broker.model.secret import Lease, Secret
from broker.model.units import NS_PER_SECOND
from broker.ports import Clock

HELD_NS = NS_PER_SECOND // 2
"""A key that was rotated, or taken out of use, is used by no call that begins a second later."""


class _Held(NamedTuple):
    lease: Lease
    until_ns: int


class CoordinatedKeys:
    """Implements ports.CredentialSource. What calls at the same time need is asked for once."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._asking: dict[str, asyncio.Task[Lease]] = {}
        self._unready = self._trouble = ""

    async def lease(self, credential: str) -> Lease:
        """See ports.CredentialSource."""
        held = self._held.get(credential)
        if held is not None and self._clock.monotonic_ns() < held.until_ns:
            return held.lease
        asking = self._asking.get(credential)
        if asking is None:
            asking = self._asking[credential] = asyncio.create_task(self._ask(credential))
            asking.add_done_callback(lambda asked: self._asked(credential, asked))
        return await asyncio.shield(asking)

    def revoke(self, credential: str) -> None:
        """Has the credential's key replaced now, where its source can."""
        self._held.pop(credential, None)
        self._channel.tell("revoke_key", credential=credential)

    def told(self, unready: str, trouble: str) -> None:
        """How the real source is."""
        self._unready, self._trouble = unready, trouble

    def unready(self) -> str:
        """What has kept every call from a key since the start, or an empty string."""
        return self._unready

    def trouble(self) -> str:
        """What keeps some call from a key now, or would soon; an empty string where all is well."""
        return self._trouble

    def _asked(self, credential: str, asked: asyncio.Task[Lease]) -> None:
        del self._asking[credential]
        if not asked.cancelled():
            asked.exception()  # whoever waited may have left

    async def _ask(self, credential: str) -> Lease:
        lease = _lease(await self._channel.ask("lease", credential=credential))
        self._held[credential] = _Held(lease, self._clock.monotonic_ns() + HELD_NS)
        return lease


def lease_members(lease: Lease) -> Members:
    """What goes to the worker of a lease. It holds the key."""
    return {
        "key_ref": lease.key_ref,
        "key_version": lease.key_version,
        "secret": lease.secret.reveal(),
        "organization": lease.organization,
        "project": lease.project,
        "region": lease.region,
    }


def _lease(members: Members) -> Lease:
    match members:
        case {
            "key_ref": str() as key_ref,
            "key_version": int() as version,
            "secret": str() as secret,
            "organization": str() | None as organization,
            "project": str() | None as project,
            "region": str() | None as region,
        }:
            return Lease(key_ref, version, Secret(secret), organization, project, region)
    raise TypeError("a lease that is none")
