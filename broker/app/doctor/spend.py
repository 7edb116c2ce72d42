"""OpenAI's own hard spend limits, the backstop behind the broker's: what OpenAI tells the admin key of them.

Knows: which projects a configuration names. Must not know: requests, what a limit means for policies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from broker.adapters.ephemeral_keys import ErrorCode, SourceError
from broker.adapters.ephemeral_keys.dynamic import SpendLimit
from broker.app.credentials import admin_api
from broker.app.doctor.admin_key import AdminKey
from broker.app.doctor.backstop import SUBJECT, Spender, judged
from broker.app.doctor.check import Check, Level
from broker.app.policy import policy_source
from broker.config import Settings
from broker.errors import BrokerError, ConfigError

_Answer = SpendLimit | SourceError | None


async def check_spend(settings: Settings, admin_key: AdminKey) -> AsyncIterator[Check]:
    """The limit of each project that the configuration names, and of their organization."""
    if not any(one.upstream_auth == "dynamic_key" for one in settings.credentials.values()):
        told = (
            "OpenAI's own spend limits cannot be looked at: no credential is a dynamic_key, so no admin key."
        )
        yield Check(SUBJECT, Level.GOOD, told, "Look in OpenAI's dashboard: they stand behind the broker's.")
        return
    spenders = tuple(_spenders(settings))
    try:
        answers = await _asked(settings, admin_key, spenders)
    except ConfigError as error:
        yield Check(SUBJECT, Level.UNKNOWN, f"OpenAI's own spend limits cannot be looked at: {error}.")
        return
    data = await asyncio.to_thread(_data, settings)
    for spender, answer in zip(spenders, answers, strict=True):
        if not isinstance(answer, SourceError):
            yield judged(spender, answer, data)
    for check in _unseen(spenders, answers):
        yield check


def _spenders(settings: Settings) -> Iterator[Spender]:
    """Each project with the credentials, or pools, whose keys are of it; then the organization with all."""
    known = {name: one.project for name, one in settings.credentials.items() if one.project is not None}
    named = {(project, name) for name, project in known.items()}
    for pool in settings.key_pools():
        owners = (member.project or known.get(member.key) for member in pool.members)
        named |= {(project, pool.credential) for project in owners if project is not None}
    for project in sorted({project for project, _ in named}):
        yield Spender(project, frozenset(name for owner, name in named if owner == project))
    yield Spender(None, frozenset(name for _, name in named))


async def _asked(settings: Settings, admin_key: AdminKey, spenders: Sequence[Spender]) -> list[_Answer]:
    """All at once: where OpenAI is away, that costs one deadline. Raises ConfigError."""
    admin = admin_api(settings, admin_key)
    try:
        return await asyncio.gather(*(admin.spend_limit(spender.project) for spender in spenders))
    finally:
        await admin.aclose()


def _data(settings: Settings) -> Mapping[str, object] | None:
    try:
        source = policy_source(settings)
    except BrokerError:
        return None  # what is wrong with the policies is told elsewhere
    return None if source is None else source.base


def _unseen(spenders: Sequence[Spender], answers: Sequence[_Answer]) -> Iterator[Check]:
    """One for each reason. A key that OpenAI lets in nowhere makes no keys either; all else may pass."""
    for refusal in dict.fromkeys(answer for answer in answers if isinstance(answer, SourceError)):
        names = [who.name for who, answer in zip(spenders, answers, strict=True) if answer == refusal]
        shut_out = refusal.cause is ErrorCode.FORBIDDEN and len(names) == len(spenders)
        level = Level.BAD if shut_out else Level.UNKNOWN
        told = f"The hard spend limit of {', '.join(names)} could not be looked at: {refusal.message}"
        yield Check(SUBJECT, level, told, refusal.remedy)
