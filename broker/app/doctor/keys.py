"""The store of the keys: can each credential be leased. None is ever shown.

Knows: the store of a configuration. Must not know: what a key opens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from broker.adapters.keystore import SealedStore
from broker.app.doctor.admin_key import AdminKey
from broker.app.doctor.check import Check, Level
from broker.app.doctor.sources import check_sources, stored
from broker.app.doctor.vault import VaultProof, check_vault
from broker.app.keys import keystore
from broker.app.policy import named_credentials
from broker.config import Settings
from broker.errors import BrokerError, ConfigError
from broker.model.credential import KeyState
from broker.model.secret import Lease

_SUBJECT = "keys"


def check_keys(
    settings: Settings, proof: VaultProof, credentials: Sequence[str], admin_key: AdminKey
) -> Iterator[Check]:
    """The store, and each credential of it; `admin_key` is shown each that is there. Blocking."""
    yield from check_sources(settings)
    credentials = sorted(stored(settings, credentials))
    try:
        if settings.keys.adapter == "none":
            yield from (_nowhere(name) for name in credentials)
        elif settings.keys.adapter == "sealed":
            yield from _sealed(SealedStore(keystore(settings)), credentials, admin_key)
        if settings.uses_vault:
            named = sorted(stored(settings, named_credentials(settings)) - set(credentials))
            yield from check_vault(settings, proof, credentials, named, admin_key)
    except ConfigError as error:
        yield Check(_SUBJECT, Level.BAD, str(error))


def _nowhere(name: str) -> Check:
    told = f"There is no store, and no other source, for the credential {name}."
    return Check(_SUBJECT, Level.BAD, told, f"Add [credentials.{name}], or set keys.adapter.")


def _sealed(store: SealedStore, credentials: Sequence[str], admin_key: AdminKey) -> Iterator[Check]:
    for name in sorted({*store.names(), *credentials}):
        try:
            newest = store.versions(name)[-1]
            if newest.state is KeyState.QUARANTINED:
                told = f"The key {name} is quarantined: {newest.reason}."
                yield Check(
                    _SUBJECT,
                    Level.WARNING,
                    told,
                    f"broker keys rotate {name}, or: broker keys release {name}",
                )
                continue
            opened = store.newest(name)
        except BrokerError as error:
            yield Check(_SUBJECT, Level.BAD, error.message, error.remedy)
        else:
            admin_key.shown(name, Lease(f"sealed:{name}", newest.version, opened.secret))
            yield Check(_SUBJECT, Level.GOOD, f"The key {name} opens, version {newest.version}.")
