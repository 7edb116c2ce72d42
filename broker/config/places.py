"""The paths of this machine that settings name: there, of the right kind, readable or to be made.

Knows: what each path is for, and when it is used. Must not know: how it is looked at. A path that is not used
as the broker is configured may be anything; what something else keeps fresh may come later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

from broker.config.files import (
    Judge,
    certificates,
    flaw,
    later_file,
    later_folder,
    made_file,
    made_folder,
    pair_flaw,
    read_file,
    read_folder,
)
from broker.config.judging import rule_faults
from broker.config.problem import SettingFault, Steps
from broker.config.settings import Settings

_REMEDY = "Check the path, and who may use it."


@dataclass(frozen=True, slots=True)
class PathSetting:
    """A setting that is a path: what must be there, and when."""

    name: str
    judge: Judge
    when: Callable[[Settings], bool]

    def faults(self, settings: Settings) -> Iterator[SettingFault]:
        path = attrgetter(self.name)(settings) if self.when(settings) else None
        told = flaw(path, self.judge) if path is not None else None
        if told is not None:
            yield SettingFault(tuple(self.name.split(".")), told, _REMEDY)


def _always(_settings: Settings) -> bool:
    return True


def _issued(settings: Settings) -> bool:
    return settings.vault.pki_role is not None


def _given(settings: Settings) -> bool:
    return settings.vault.pki_role is None


def _embedded(settings: Settings) -> bool:
    return settings.policy.adapter == "embedded"


def _signed(settings: Settings) -> bool:
    return _embedded(settings) and settings.policy.bundle is not None


def _opa(settings: Settings) -> bool:
    return settings.policy.adapter == "opa"


def _opa_tls(settings: Settings) -> bool:
    return _opa(settings) and settings.opa.url.lower().startswith("https:")


def _sealed(settings: Settings) -> bool:
    return settings.keys.adapter == "sealed"


def _vault(settings: Settings) -> bool:
    return settings.uses_vault


def _state(settings: Settings) -> bool:
    return settings.state.adapter == "valkey"


def _by(way: str, settings: Settings) -> bool:
    return any(one.upstream_auth == way for one in settings.credentials.values())


_dynamic, _federated = partial(_by, "dynamic_key"), partial(_by, "workload_identity")

PLACES = (
    PathSetting("tls.certificate", certificates, _given),
    PathSetting("tls.certificate", made_file, _issued),
    PathSetting("tls.key", read_file, _given),
    PathSetting("tls.key", made_file, _issued),
    PathSetting("tls.client_ca", certificates, _always),
    PathSetting("identity.token_key", made_file, _always),
    PathSetting("identity.token_keys", read_folder, _always),
    PathSetting("identity.certified_by", read_file, _always),
    PathSetting("policy.directory", read_folder, _embedded),
    PathSetting("policy.bundle", read_file, _embedded),
    PathSetting("policy.bundle", later_file, _opa),
    PathSetting("policy.verification_key", read_file, _signed),
    PathSetting("policy.verification_key", later_file, _opa),
    PathSetting("shadow.directory", read_folder, _always),
    PathSetting("opa.ca", certificates, _opa_tls),
    PathSetting("opa.certificate", certificates, _opa_tls),
    PathSetting("opa.key", read_file, _opa_tls),
    PathSetting("keys.directory", later_folder, _sealed),
    PathSetting("vault.ca", certificates, _vault),
    PathSetting("vault.certificate", later_file, _vault),
    PathSetting("vault.key", later_file, _vault),
    PathSetting("vault.wrapped_secret_id", later_file, _vault),
    PathSetting("vault.kept_secret_id", later_file, _vault),
    PathSetting("vault.jwt", later_file, _vault),
    PathSetting("dynamic_keys.ca", certificates, _dynamic),
    PathSetting("dynamic_keys.instance", made_file, _dynamic),
    PathSetting("workload_identity.ca", certificates, _federated),
    PathSetting("state.password_file", read_file, _state),
    PathSetting("state.sentinel_password_file", read_file, _state),
    PathSetting("state.ca", certificates, _state),
    PathSetting("state.certificate", certificates, _state),
    PathSetting("state.key", read_file, _state),
    PathSetting("audit.directory", made_folder, _always),
    PathSetting("audit.keys", made_folder, _always),
)


def place_faults(settings: Settings) -> Iterator[SettingFault]:
    """Each path that a start would fail at, or that could never be of use. Blocking."""
    yield from rule_faults([place.faults for place in PLACES], settings)
    yield from rule_faults([_own_pair, _opa_pair, _subject_tokens], settings)


def _opa_pair(settings: Settings) -> Iterator[SettingFault]:
    opa = settings.opa
    if _opa_tls(settings) and opa.certificate is not None and opa.key is not None:
        yield from _pair(("opa", "key"), opa.certificate, opa.key)


def _own_pair(settings: Settings) -> Iterator[SettingFault]:
    if _given(settings):
        yield from _pair(("tls", "key"), settings.tls.certificate, settings.tls.key)


def _pair(at: Steps, certificate: Path, key: Path) -> Iterator[SettingFault]:
    """Of two files that can be used each: whether they belong together."""
    if flaw(certificate, certificates) is None and flaw(key, read_file) is None:
        told = pair_flaw(certificate, key)
        if told is not None:
            yield SettingFault(at, told, "Put a pair there that belongs together.")


def _subject_tokens(settings: Settings) -> Iterator[SettingFault]:
    for name, one in settings.credentials.items():
        told = flaw(one.subject_token, later_file) if one.subject_token is not None else None
        if told is not None:
            yield SettingFault(("credentials", name, "subject_token"), told, _REMEDY)
