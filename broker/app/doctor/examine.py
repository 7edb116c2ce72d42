"""All checks of a configuration, one after the other.

Knows: the order of the checks. Must not know: what any of them looks at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from broker.adapters.clock import SystemClock
from broker.app.doctor.admin_key import AdminKey
from broker.app.doctor.check import Check
from broker.app.doctor.keys import check_keys
from broker.app.doctor.log import check_log
from broker.app.doctor.policy import check_policy
from broker.app.doctor.spend import check_spend
from broker.app.doctor.state import check_state
from broker.app.doctor.tls import check_tls
from broker.app.doctor.vault import VaultProof
from broker.config import Settings


async def examine(settings: Settings, proof: VaultProof, credentials: Sequence[str]) -> AsyncIterator[Check]:
    """Each check as soon as it is made. Writes nothing, serves nothing; `credentials` are those that policy
    names. A token that was had from Vault is given back.
    """
    for check in await _in_thread(lambda: check_tls(settings)):
        yield check
    async for check in check_policy(settings, SystemClock()):
        yield check
    for check in await _in_thread(lambda: check_log(settings)):
        yield check
    async for check in check_state(settings):
        yield check
    admin_key = AdminKey(settings.dynamic_keys.admin_credential)
    for check in await _in_thread(lambda: check_keys(settings, proof, credentials, admin_key)):
        yield check
    async for check in check_spend(settings, admin_key):
        yield check


async def _in_thread(checks: Callable[[], Iterator[Check]]) -> list[Check]:
    return await asyncio.to_thread(lambda: list(checks()))
