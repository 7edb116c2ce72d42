"""The sources of credentials that are in no store, as a configuration names them.

Knows: which adapter each setting means. Must not know: how a call uses a key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.adapters.credential_router import ConfiguredSource, CredentialRouter, DenyAllSource, IssuingSource
from broker.config import CredentialSettings, Settings
from broker.errors import ConfigError
from broker.ports import Clock, CredentialSource

if TYPE_CHECKING:
    from broker.adapters.ephemeral_keys import IssuerObserver, JsonHttpClient
    from broker.adapters.ephemeral_keys.dynamic import AdminApi, DynamicKeySource
    from broker.adapters.ephemeral_keys.federation import FederatedKeySource


def all_keys(
    settings: Settings, store: ConfiguredSource, clock: Clock, observer: IssuerObserver
) -> CredentialRouter:
    """The store, and beside it what `credentials` names. Raises ConfigError, BrokerError and OSError."""
    sources: dict[str, IssuingSource] = {}
    dynamic = _those(settings, "dynamic_key")
    if dynamic:
        sources |= dict.fromkeys(dynamic, _dynamic(settings, dynamic, store, clock, observer))
        sources[settings.dynamic_keys.admin_credential] = DenyAllSource(
            "The admin key is for no call.", "Name another credential in the policy."
        )
    federated = _those(settings, "workload_identity")
    if federated:
        sources |= dict.fromkeys(federated, _federated(settings, federated, store, clock, observer))
    return CredentialRouter(store, sources)


def _those(settings: Settings, way: str) -> dict[str, CredentialSettings]:
    return {name: one for name, one in settings.credentials.items() if one.upstream_auth == way}


def _dynamic(
    settings: Settings,
    ours: dict[str, CredentialSettings],
    store: ConfiguredSource,
    clock: Clock,
    observer: IssuerObserver,
) -> DynamicKeySource:
    from broker.adapters.ephemeral_keys.dynamic import DynamicKey, DynamicKeySource, Instance

    instance = settings.dynamic_keys.instance
    if instance is None:
        raise ConfigError("dynamic_keys.instance: needed where upstream_auth is dynamic_key")
    keys = {
        name: DynamicKey(one.project, one.scopes, one.life_seconds, one.grace_seconds)
        for name, one in ours.items()
        if one.project is not None
    }
    return DynamicKeySource(keys, admin_api(settings, store), Instance(instance), clock, observer)


def admin_api(settings: Settings, source: CredentialSource) -> AdminApi:
    """OpenAI's admin API, asked with the admin key that `source` has. Raises ConfigError."""
    from broker.adapters.ephemeral_keys.dynamic import AdminApi
    from broker.adapters.ephemeral_keys.dynamic.admin import WHO

    common = settings.dynamic_keys
    return AdminApi(_client(WHO, common.url, common.ca, "dynamic_keys"), source, common.admin_credential)


def _federated(
    settings: Settings,
    ours: dict[str, CredentialSettings],
    store: ConfiguredSource,
    clock: Clock,
    observer: IssuerObserver,
) -> FederatedKeySource:
    from broker.adapters.ephemeral_keys.federation import (
        FederatedKeySource,
        SubjectToken,
        TokenEndpoint,
        Trust,
    )
    from broker.adapters.ephemeral_keys.federation.exchange import WHO
    from broker.adapters.ephemeral_keys.federation.source import Federated

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
    client = _client(WHO, common.url, common.ca, "workload_identity")
    return FederatedKeySource(credentials, TokenEndpoint(client), clock, observer, store)


def _client(who: str, url: str, ca: Path | None, section: str) -> JsonHttpClient:
    from broker.adapters.ephemeral_keys import JsonHttpClient

    try:
        return JsonHttpClient(who, url, ca=ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{section}: the URL or its CA cannot be used: {error}") from None
