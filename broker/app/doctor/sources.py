"""Which keys the store must have, and what can be told of credentials that are in no store.

Knows: pools, other sources, and what those need of this machine. Must not know: stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from broker.adapters.clock import SystemClock
from broker.adapters.ephemeral_keys import SourceError
from broker.adapters.ephemeral_keys.federation import SubjectToken
from broker.app.doctor.check import Check, Level
from broker.config import Settings

_SUBJECT = "keys"


def stored(settings: Settings, credentials: Iterable[str]) -> set[str]:
    """Which keys the store must have: those of `credentials` and of every pool that have no other source, and
    what other sources need.
    """
    others, pools = settings.credentials, settings.pools
    single = {name for name in credentials if name not in pools}
    pooled = {member.key for pool in pools.values() for member in pool.members}
    wanted = (single | pooled) - others.keys()
    wanted |= {one.fallback for one in others.values() if one.fallback is not None}
    if any(one.upstream_auth == "dynamic_key" for one in others.values()):
        wanted.add(settings.dynamic_keys.admin_credential)
    return wanted


def check_sources(settings: Settings) -> Iterator[Check]:
    """Each credential that is in no store. Blocking; writes nothing."""
    for name, one in settings.credentials.items():
        if one.subject_token is None:
            told = f"The credential {name} is keys that the broker makes in the project {one.project}."
            yield Check(_SUBJECT, Level.GOOD, told)
            continue
        source = SubjectToken(one.subject_token, SystemClock())
        found = source.read_blocking()
        source.close()
        if isinstance(found, SourceError):
            yield Check(_SUBJECT, Level.BAD, found.message, found.remedy)
        else:
            told = f"The subject token of the credential {name} is there and has not expired."
            yield Check(_SUBJECT, Level.GOOD, told)
