"""The policy engine: do its policies load, does it answer.

Knows: which engine a configuration means. Must not know: what is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from broker.app.doctor.check import Check, Level
from broker.app.policy import opa_authorizer, told_unserved, try_candidates
from broker.config import Settings
from broker.errors import BrokerError, ConfigError
from broker.ports import Clock

_SUBJECT = "policy"


async def check_policy(settings: Settings, clock: Clock) -> AsyncIterator[Check]:
    """The engine that decides, and the candidate beside it, if any."""
    try:
        tried = await try_candidates(settings)
    except BrokerError as error:
        yield Check(_SUBJECT, Level.BAD, error.message, error.remedy)
        return
    if settings.policy.adapter == "embedded":
        yield Check(_SUBJECT, Level.GOOD, "The policies load and decide.")
        if tried.ruling is not None and tried.ruling.why:
            yield Check(
                _SUBJECT,
                Level.WARNING,
                f"They are evaluated {tried.ruling.form.value}: {tried.ruling.why}.",
                tried.ruling.remedy,
            )
        for each in await asyncio.to_thread(told_unserved, settings):
            yield Check(_SUBJECT, Level.WARNING, str(each), each.remedy)
    else:
        yield await _opa(settings, clock)


async def _opa(settings: Settings, clock: Clock) -> Check:
    try:
        engine = opa_authorizer(settings.opa, clock)
    except ConfigError as error:
        return Check(_SUBJECT, Level.BAD, str(error))
    try:
        await engine.start(_nobody_is_told)
        problem = engine.unready()
    finally:
        await engine.aclose()
    if problem:
        return Check(
            _SUBJECT, Level.BAD, f"OPA does not decide: {problem}.", "Check that it runs, and its bundle."
        )
    return Check(_SUBJECT, Level.GOOD, f"OPA decides, by revision {engine.version.revision}.")


async def _nobody_is_told(_version: object) -> None:
    """The doctor writes no record."""
