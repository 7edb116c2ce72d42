"""The service accounts of this instance: made for a key, deleted with it, swept after a crash.

Knows: which accounts are wanted, which are due to end, and in which projects there may be others of ours.
Must not know: HTTP, which key calls get. Belongs to one event loop.

A key is made in three steps (an account without key and role, its role, its key), so that no key ever exists
on an account whose id is not known here: what a lost reply leaves behind opens nothing, and is swept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from broker.adapters.ephemeral_keys import ErrorCode, Issued, SourceError
from broker.adapters.ephemeral_keys.dynamic.admin import AdminApi
from broker.adapters.ephemeral_keys.dynamic.names import NONCE_BYTES, AccountNames
from broker.adapters.ephemeral_keys.sleep import WakeableSleep
from broker.adapters.ephemeral_keys.source_error import UNDONE
from broker.model.secret import Secret
from broker.model.units import NS_PER_SECOND, SECONDS_PER_DAY
from broker.ports import Clock

_BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_LOST_SECONDS = 15.0  # longer than any request is waited for: what a lost one has made is visible then
_DAY_SECONDS = float(SECONDS_PER_DAY)


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What a key is made for: a project, the scopes it opens (none: all), and its life in seconds."""

    project: str
    scopes: tuple[str, ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class _Made:
    """An account of ours; of one that a sweep found, nobody knows the credential."""

    credential: str
    project: str
    name: str
    id: str


class Accounts:
    """Makes accounts, and ends them: `run` does what is due until it is cancelled."""

    def __init__(self, admin: AdminApi, names: AccountNames, clock: Clock) -> None:
        self._admin = admin
        self._names = names
        self._clock = clock
        self._log = structlog.get_logger()
        self._wanted: set[str] = set()
        self._made: dict[str, _Made] = {}
        self._due: dict[str, int] = {}
        self._sweeps: dict[str, int] = {}
        self._lost: set[str] = set()
        self._sleep = WakeableSleep(clock)

    async def issue(self, credential: str, plan: KeyPlan) -> Issued | SourceError:
        """A key on an account of its own. Where it fails or is cancelled, no trace stays for long; while it
        is not known what a lost reply has left, no other account is made: they would pile up.
        """
        if plan.project in self._lost:
            trouble = await self._swept(plan.project)
            if trouble is not None:
                return trouble
            self._lost.discard(plan.project)
        name = self._names.new(credential, self._clock.random_bytes(NONCE_BYTES))
        self._wanted.add(name)
        outcome: Issued | SourceError | None = None
        try:
            outcome = await self._issued(credential, name, plan)
        finally:
            if not isinstance(outcome, Issued):
                self._abandon(name, plan.project, outcome)
        return outcome

    def retire(self, account: str, after_seconds: float) -> None:
        """Has the account deleted `after_seconds` from now, or earlier where that was said before."""
        at = self._clock.monotonic_ns() + int(after_seconds * NS_PER_SECOND)
        self._due[account] = min(at, self._due.get(account, at))
        self._sleep.end()

    def retire_replaced(self, credential: str) -> None:
        """Has those of the credential's accounts deleted now that were to have a grace."""
        for made in self._made.values():
            if made.credential == credential and made.id in self._due:
                self.retire(made.id, 0.0)

    def sweep(self, projects: Iterable[str], after_seconds: float = 0.0) -> None:
        """Has all accounts deleted that bear a name of ours and are not wanted."""
        at = self._clock.monotonic_ns() + int(after_seconds * NS_PER_SECOND)
        for project in projects:
            self._sweeps[project] = at
        self._sleep.end()

    async def run(self) -> None:
        """Deletes and sweeps what is due; what fails is tried again and again."""
        failures = 0
        while True:
            failures = 0 if await self.work_off() else failures + 1
            seconds = self._seconds_left()
            if failures:
                seconds = max(seconds, _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1])
            await self._sleep.sleep(seconds)

    async def work_off(self) -> bool:
        """Does what is due now, once; whether all of it worked."""
        now = self._clock.monotonic_ns()
        ending = [self._made[account] for account, at in self._due.items() if at <= now]
        sweeping = [project for project, at in self._sweeps.items() if at <= now]
        deletions = [self._delete(made) for made in ending]
        sweeps = [self._sweep_due(project) for project in sweeping]
        return not any(await asyncio.gather(*deletions, *sweeps))

    async def delete_all(self, seconds: float) -> None:
        """Ends every account of ours, within `seconds`; what is left is told. Nothing is issued any more."""
        for account in self._made:
            self.retire(account, 0.0)
        self.sweep(self._sweeps)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.work_off()
        for made in self._made.values():
            self._log.error("account_left_at_openai", project=made.project, account=made.id, name=made.name)

    async def _issued(self, credential: str, name: str, plan: KeyPlan) -> Issued | SourceError:
        account = await self._admin.create(plan.project, name)
        if isinstance(account, SourceError):
            return account
        self._made[account.id] = _Made(credential, plan.project, name, account.id)
        trouble = await self._admin.make_member(plan.project, account.id)
        if trouble is not None:
            return trouble
        key = await self._admin.create_key(plan.project, account.id, plan.scopes, plan.seconds)
        return Issued(key, plan.seconds, account.id) if isinstance(key, Secret) else key

    def _abandon(self, name: str, project: str, why: SourceError | None) -> None:
        self._wanted.discard(name)
        known = [made.id for made in self._made.values() if made.name == name]
        for account in known:
            self.retire(account, 0.0)
        if not known and (why is None or why.cause not in UNDONE):
            self._lost.add(project)
            self.sweep([project], _LOST_SECONDS)

    async def _delete(self, made: _Made) -> SourceError | None:
        trouble = await self._admin.delete(made.project, made.id)
        if trouble is not None:
            self._tell(trouble, made.project)
            return trouble
        self._made.pop(made.id, None)
        self._due.pop(made.id, None)
        self._wanted.discard(made.name)
        self._log.info("account_deleted", project=made.project, account=made.id)
        return None

    async def _sweep_due(self, project: str) -> SourceError | None:
        at = self._sweeps[project]
        trouble = await self._swept(project)
        if trouble is not None:
            self._tell(trouble, project)
        elif self._sweeps.get(project) == at:
            del self._sweeps[project]
        return trouble

    async def _swept(self, project: str) -> SourceError | None:
        found = await self._admin.accounts(project)
        if isinstance(found, SourceError):
            return found
        orphans = [
            _Made("", project, account.name, account.id)
            for account in found
            if self._names.are_ours(account.name) and account.name not in self._wanted
        ]
        outcomes = await asyncio.gather(*(self._delete(orphan) for orphan in orphans))
        return next((trouble for trouble in outcomes if trouble is not None), None)

    def _tell(self, trouble: SourceError, project: str) -> None:
        cause = trouble.cause.value
        log = self._log.bind(project=project, cause=cause, why=trouble.message, remedy=trouble.remedy)
        if trouble.cause is ErrorCode.FORBIDDEN:
            log.error("account_not_deleted")
        else:
            log.warning("account_not_deleted")

    def _seconds_left(self) -> float:
        soonest = min((*self._due.values(), *self._sweeps.values()), default=None)
        if soonest is None:
            return _DAY_SECONDS
        return max((soonest - self._clock.monotonic_ns()) / NS_PER_SECOND, 0.0)
