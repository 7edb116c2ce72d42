"""The sources of credentials that are in no store, as a configuration names them.

Knows: which adapter each setting means. Must not know: how a call uses a key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.adapters.routed import Issuing, NoKeys, RoutedKeys, Source
from broker.config import CredentialSettings, Settings
from broker.errors import ConfigError
from broker.ports import Clock

if TYPE_CHECKING:
    from broker.adapters.dynamic import DynamicKeyVault
    from broker.adapters.federation import FederatedKeyVault
    from broker.adapters.shortlived import Asking, Watch


def all_keys(settings: Settings, store: Source, clock: Clock, watch: Watch) -> RoutedKeys:
    """The store, and beside it what `credentials` names. Raises ConfigError, BrokerError and OSError."""
    sources: dict[str, Issuing] = {}
    dynamic = _those(settings, "dynamic_key")
    if dynamic:
        sources |= dict.fromkeys(dynamic, _dynamic(settings, dynamic, store, clock, watch))
        sources[settings.dynamic_keys.admin_credential] = NoKeys(
            "The admin key is for no call.", "Name another credential in the policy."
        )
    federated = _those(settings, "workload_identity")
    if federated:
        sources |= dict.fromkeys(federated, _federated(settings, federated, store, clock, watch))
    return RoutedKeys(store, sources)


def _those(settings: Settings, way: str) -> dict[str, CredentialSettings]:
    return {name: one for name, one in settings.credentials.items() if one.upstream_auth == way}


def _dynamic(
    settings: Settings, ours: dict[str, CredentialSettings], store: Source, clock: Clock, watch: Watch
) -> DynamicKeyVault:
    from broker.adapters.dynamic import AdminApi, DynamicKey, DynamicKeyVault, Instance
    from broker.adapters.dynamic.admin import WHO

    common = settings.dynamic_keys
    if common.instance is None:
        raise ConfigError("dynamic_keys.instance: needed where upstream_auth is dynamic_key")
    keys = {
        name: DynamicKey(one.project, one.scopes, one.life_seconds, one.grace_seconds)
        for name, one in ours.items()
        if one.project is not None
    }
    asking = _asking(WHO, common.url, common.ca, "dynamic_keys")
    admin = AdminApi(asking, store, common.admin_credential)
    return DynamicKeyVault(keys, admin, Instance(common.instance), clock, watch)


def _federated(
    settings: Settings, ours: dict[str, CredentialSettings], store: Source, clock: Clock, watch: Watch
) -> FederatedKeyVault:
    from broker.adapters.federation import FederatedKeyVault, SubjectToken, TokenEndpoint, Trust
    from broker.adapters.federation.exchange import WHO
    from broker.adapters.federation.vault import Federated

    common = settings.workload_identity
    credentials = {
        name: Federated(
            SubjectToken(one.subject_token, clock),
            Trust(one.identity_provider_id, one.service_account_id),
            one.fallback,
        )
        for name, one in ours.items()
        if one.subject_token and one.identity_provider_id and one.service_account_id
    }
    asking = _asking(WHO, common.url, common.ca, "workload_identity")
    return FederatedKeyVault(credentials, TokenEndpoint(asking), clock, watch, store)


def _asking(who: str, url: str, ca: Path | None, section: str) -> Asking:
    from broker.adapters.shortlived import Asking

    try:
        return Asking(who, url, ca=ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{section}: the URL or its CA cannot be used: {error}") from None
