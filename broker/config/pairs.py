"""Settings that need each other, or exclude each other.

Knows: which those are. Must not know: the form of one value, files. A rule that asks for a setting that is
itself wrong is not judged: that is told already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from broker.config.addresses import host_port
from broker.config.credentials import CredentialSettings
from broker.config.judging import Rule, rule_faults
from broker.config.problem import SettingFault, shown
from broker.config.settings import Settings

_LOGIN_NEEDS = {
    "approle": ("role_id", "wrapped_secret_id"),
    "cert": ("certificate", "key"),
    "jwt": ("jwt",),
    "kubernetes": (),
}
_FEWEST_SENTINELS = 3
_WAY_NEEDS = {
    "dynamic_key": ("project",),
    "workload_identity": ("subject_token", "identity_provider_id", "service_account_id"),
}


_CLIENTS: Mapping[str, Callable[[Settings], bool]] = {
    "opa": lambda settings: settings.policy.adapter == "opa",
    "vault": lambda settings: settings.uses_vault,
    "state": lambda settings: settings.state.adapter == "valkey",
}
"""Where the broker is a client of a server that it may show a certificate, and whether it uses that."""


def pair_faults(settings: Settings) -> Iterator[SettingFault]:
    """What does not go together."""
    return rule_faults(_rules(settings), settings)


def _rules(settings: Settings) -> Iterator[Rule[Settings]]:
    yield from (_policy_source, _bundle_is_signed, _sealed_store, _vault_address, _login, _server_names)
    yield from (_state_url, _sentinels)
    yield from (
        partial(_apart, *two) for two in (("https", "grpc"), ("https", "console"), ("grpc", "console"))
    )
    yield from (partial(_certificate_and_key, section) for section in _CLIENTS)
    yield from (_regions, _admin_key, _instance, _store)
    for name in settings.credentials:
        yield partial(_credential, name)


def _apart(one: str, other: str, settings: Settings) -> Iterator[SettingFault]:
    """Two listeners cannot have one address."""
    server = settings.server
    if host_port(getattr(server, one)).overlaps(host_port(getattr(server, other))):
        late, first = (other, one) if other in server.model_fields_set else (one, other)
        told = f"the address is that of server.{first}, too"
        yield SettingFault(("server", late), told, "Give each listener a port of its own.")


def _policy_source(settings: Settings) -> Iterator[SettingFault]:
    policy = settings.policy
    if policy.adapter != "embedded":
        return
    if policy.directory is None and policy.bundle is None:
        yield SettingFault(("policy",), "the embedded engine needs either `directory` or `bundle`")
    elif policy.directory is not None and policy.bundle is not None:
        told = "the embedded engine needs either `directory` or `bundle`, not both"
        yield SettingFault(("policy", "bundle"), told, "Leave one of them out.")


def _bundle_is_signed(settings: Settings) -> Iterator[SettingFault]:
    """No bundle that nobody could have signed."""
    policy = settings.policy
    if policy.bundle is not None and policy.verification_key is None:
        told = "`bundle` needs `verification_key`: an unsigned bundle is never used"
        yield SettingFault(("policy", "bundle"), told)


def _sealed_store(settings: Settings) -> Iterator[SettingFault]:
    if settings.keys.adapter == "sealed" and settings.keys.directory is None:
        yield SettingFault(("keys",), "the sealed store needs `directory`, the folder of the keystore")


def _state_url(settings: Settings) -> Iterator[SettingFault]:
    if settings.state.adapter == "valkey" and settings.state.url is None:
        told = "needed where state.adapter is valkey, e.g. valkeys://broker@valkey.example.org:6379/0"
        yield SettingFault(("state", "url"), told)


def _sentinels(settings: Settings) -> Iterator[SettingFault]:
    """A majority of two is both: one that ends would end all."""
    state = settings.state
    if state.adapter == "valkey" and state.sentinels and len(state.sentinels) < _FEWEST_SENTINELS:
        told = f"{len(state.sentinels)} of them cannot outvote one; name all that watch the store"
        yield SettingFault(("state", "sentinels"), told, "Run three, on three machines.")


def _vault_address(settings: Settings) -> Iterator[SettingFault]:
    if settings.uses_vault and not settings.vault.addresses:
        told = "needed where Vault is used, e.g. https://vault.example.org:8200"
        yield SettingFault(("vault", "addresses"), told)


def _login(settings: Settings) -> Iterator[SettingFault]:
    """What the way to log in needs; the Kubernetes way has the pod's own token."""
    for name in _LOGIN_NEEDS[settings.vault.auth] if settings.uses_vault else ():
        if getattr(settings.vault, name) is None:
            yield SettingFault(("vault", name), f"needed where vault.auth is {settings.vault.auth}")


def _certificate_and_key(section: str, settings: Settings) -> Iterator[SettingFault]:
    """A certificate and its private key go together."""
    used, client = _CLIENTS[section](settings), getattr(settings, section)
    if used and (client.certificate is None) is not (client.key is None):
        lacks, has = ("certificate", "key") if client.certificate is None else ("key", "certificate")
        yield SettingFault((section, lacks), f"needed with {section}.{has}: they go together")


def _server_names(settings: Settings) -> Iterator[SettingFault]:
    if settings.vault.pki_role is not None and not settings.vault.server_names:
        yield SettingFault(("vault", "server_names"), "needed with vault.pki_role, e.g. broker.example.org")


def _regions(settings: Settings) -> Iterator[SettingFault]:
    """Where one region has a base URL of its own, no key of another may fall back to the common one."""
    known = settings.upstream.regions
    for credential, pool in settings.pools.items() if known else ():
        for number, member in enumerate(pool.members):
            if member.region is not None and member.region not in known:
                told = f"upstream.regions does not name the region {shown(member.region)} of this key"
                at = ("pools", credential, "members", number, "region")
                yield SettingFault(at, told, f"It names {', '.join(map(shown, known))}.")


def _credential(name: str, settings: Settings) -> Iterator[SettingFault]:
    """Each has what its way needs, and nothing of the other."""
    one = settings.credentials[name]
    where = f"where upstream_auth is {one.upstream_auth}"
    for way, needs in _WAY_NEEDS.items():
        for setting in needs:
            given = getattr(one, setting) is not None
            if given is not (way == one.upstream_auth):
                yield SettingFault(
                    ("credentials", name, setting), f"{'of no use' if given else 'needed'} {where}"
                )
    if one.fallback is not None and one.upstream_auth != "workload_identity":
        yield SettingFault(("credentials", name, "fallback"), f"of no use {where}")


def _instance(settings: Settings) -> Iterator[SettingFault]:
    if _dynamic(settings) and settings.dynamic_keys.instance is None:
        told = "needed where a credential's upstream_auth is dynamic_key"
        yield SettingFault(("dynamic_keys", "instance"), told)


def _admin_key(settings: Settings) -> Iterator[SettingFault]:
    if settings.dynamic_keys.admin_credential in settings.credentials:
        told = "must be in the store, not among the credentials"
        yield SettingFault(("dynamic_keys", "admin_credential"), told)


def _store(settings: Settings) -> Iterator[SettingFault]:
    """There is a store for what only a store can give."""
    if settings.keys.adapter != "none":
        return
    others = settings.credentials.values()
    if not others:
        told = "where it is none, every credential needs a section of its own"
        yield SettingFault(("keys", "adapter"), told)
    elif _dynamic(settings) or any(one.fallback is not None for one in others):
        told = "an admin key and a fallback need a store: sealed or vault"
        yield SettingFault(("keys", "adapter"), told)


def _dynamic(settings: Settings) -> list[CredentialSettings]:
    return [one for one in settings.credentials.values() if one.upstream_auth == "dynamic_key"]
