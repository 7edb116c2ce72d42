"""The CredentialSource port over keys that are made at OpenAI for this broker, and deleted with it.

Knows: which credential is which project's key. Must not know: HTTP, how accounts are made and ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from broker.adapters.ephemeral_keys import (
    SILENT,
    ErrorCode,
    Issued,
    IssuerObserver,
    RenewedKey,
    RetireReason,
    refused,
    trouble,
    unready,
)
from broker.adapters.ephemeral_keys.dynamic.accounts import Accounts, KeyPlan
from broker.adapters.ephemeral_keys.dynamic.admin import AdminApi
from broker.adapters.ephemeral_keys.dynamic.instance import Instance
from broker.adapters.ephemeral_keys.dynamic.names import CREDENTIAL, AccountNames
from broker.model.secret import Lease
from broker.ports import Clock

CLOSE_SECONDS = 5.0
LONGEST_LIFE_SECONDS = 31_536_000


@dataclass(frozen=True, slots=True)
class DynamicKey:
    """One credential: keys of `project` for `scopes` (none: all that the role `member` may), each good for
    `life_seconds`. A replaced key lives `grace_seconds` longer, for the calls that have it.
    """

    project: str
    scopes: tuple[str, ...] = ()
    life_seconds: int = 3600
    grace_seconds: float = 600.0


class DynamicKeySource:
    """Implements ports.CredentialSource over project service-account keys. Belongs to one event loop; `start`
    it there, `aclose` it there: then it releases its `instance`.

    Each key has an end at OpenAI; it is replaced at two thirds of its life, and its account deleted: when it
    was replaced and calls have had their grace, on `revoke` and `aclose` at once, and after a crash by the
    next start of the same instance. Raises ValueError for a name or life that cannot be.
    """

    def __init__(
        self,
        keys: Mapping[str, DynamicKey],
        admin: AdminApi,
        instance: Instance,
        clock: Clock,
        observer: IssuerObserver = SILENT,
    ) -> None:
        self._keys = dict(keys)
        self._admin = admin
        self._instance = instance
        self._accounts = Accounts(admin, AccountNames(instance.name), clock)
        self._sweeper: asyncio.Task[None] | None = None
        self._kept: dict[str, RenewedKey] = {}
        self._now = clock.monotonic_ns
        for name, key in keys.items():
            if not CREDENTIAL.match(name) or not 1 <= key.life_seconds <= LONGEST_LIFE_SECONDS:
                raise ValueError(f"{name}: not a credential's name, or not a life of 1 to 31,536,000 seconds")
            plan = KeyPlan(key.project, key.scopes, key.life_seconds)
            issue = partial(self._accounts.issue, name, plan)
            retire = partial(self._retire, key)
            self._kept[name] = RenewedKey(name, f"dynamic:{name}", issue, retire, clock, observer)

    async def start(self) -> None:
        """Begins to sweep what a crash left, and to make keys. Never fails: while OpenAI is away, it tries
        again and again.
        """
        self._accounts.sweep({key.project for key in self._keys.values()})
        self._sweeper = asyncio.ensure_future(self._accounts.run())
        for kept in self._kept.values():
            kept.start()

    def unready(self) -> str:
        """Why there has been no key for any credential since the start, or an empty string."""
        return unready("dynamic keys", self._kept.values())

    def trouble(self) -> str:
        """What keeps some credential from its next key, or an empty string."""
        return trouble(self._kept.values())

    async def lease(self, credential: str) -> Lease:
        """See ports.CredentialSource. Answers within 2 s whatever OpenAI does; a dictionary and a clock where
        a key is held.
        """
        kept = self._kept.get(credential)
        if kept is None:
            raise refused(ErrorCode.UNKNOWN).error()
        held = kept.held
        if held is not None and self._now() < held.use_until:
            return held.lease
        return await kept.wait()

    def revoke(self, credential: str) -> None:
        """No call gets the present key any more; its account, and those of keys before it, are deleted at
        once, and another key is made. Returns before that is done; where OpenAI is away, it is tried on.
        """
        kept = self._kept.get(credential)
        if kept is not None:
            kept.drop()
            self._accounts.retire_replaced(credential)

    async def aclose(self) -> None:
        """Gives up all keys and deletes their accounts, where OpenAI answers within CLOSE_SECONDS. An account
        that stays is told by name; its key ends by itself.
        """
        kept, self._kept = self._kept, {}
        for key in kept.values():
            await key.aclose()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await self._accounts.delete_all(CLOSE_SECONDS)
        await self._admin.aclose()
        self._instance.release()

    def _retire(self, key: DynamicKey, issued: Issued, ending: RetireReason) -> None:
        after = key.grace_seconds if ending is RetireReason.REPLACED else 0.0
        self._accounts.retire(issued.account, after)
