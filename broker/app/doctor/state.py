"""The shared state: is the store reached, does it keep what it is told, may its user do what a broker does.

Knows: which check a finding becomes. Must not know: commands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from broker.adapters.state.examining import StoreFindings, examine_store
from broker.adapters.state.refusals import StoreAwayError
from broker.app.doctor.check import Check, Level
from broker.app.state import store
from broker.config import Settings

_SUBJECT = "state"
_USERS = "See the user of deploy/valkey/users.acl."


async def check_state(settings: Settings) -> AsyncIterator[Check]:
    """Nothing where limits are not shared."""
    if settings.state.adapter != "valkey":
        return
    shared = store(settings)
    try:
        found = await examine_store(shared.dialer, shared.names)
    except StoreAwayError as error:
        told = f"Limits cannot be checked: {error}."
        yield Check(_SUBJECT, Level.BAD, told, "Look at state.url, its CA, user and password file.")
        return
    for check in _checks(found):
        yield check


def _checks(found: StoreFindings) -> list[Check]:
    checks = [
        Check(_SUBJECT, Level.BAD, f"The store has {has}.", f"Set {needed}: else what was taken can be lost.")
        for has, needed in found.wrong
    ]
    if found.forbidden:
        told = f"The store does not let its user do: {', '.join(found.forbidden)}."
        checks.append(Check(_SUBJECT, Level.BAD, told, _USERS))
    if found.unread:
        told = "Whether the store keeps what it is told was not looked at: its user may not (CONFIG GET)."
        checks.append(Check(_SUBJECT, Level.UNKNOWN, told, _USERS))
    return checks or [Check(_SUBJECT, Level.GOOD, "The store answers, syncs every write and evicts nothing.")]
