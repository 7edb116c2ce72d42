"""Which adapter, and which way to log in, a configuration means."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.keystore import SealedKeySource
from broker.adapters.vault import AppRole, Certificate, Jwt, Kubernetes, VaultKeySource
from broker.app.from_vault import cluster, login
from broker.app.keys import credential_source, vault_session
from broker.config import VaultSettings
from tests.docs.test_tables import example_configuration
from tests.ops.test_settings import IN_VAULT, MINIMAL, Load, loaded

__all__ = ["loaded"]  # the fixture
ADDRESS = ("https://vault.example.org:8200",)
FILE, KEY = Path("f"), Path("k")


@pytest.mark.parametrize(
    ("vault", "meant"),
    [
        (VaultSettings(role_id="r", wrapped_secret_id=FILE), AppRole("r", FILE)),
        (VaultSettings(role_id="r", wrapped_secret_id=FILE, auth_mount="eu"), AppRole("r", FILE, "eu")),
        (VaultSettings(auth="cert", certificate=FILE, key=KEY), Certificate(FILE, "broker")),
        (VaultSettings(auth="jwt", jwt=FILE, role="b"), Jwt("b", FILE)),
        (VaultSettings(auth="kubernetes"), Kubernetes("broker")),
        (VaultSettings(auth="kubernetes", jwt=FILE, auth_mount="k8s"), Kubernetes("broker", FILE, "k8s")),
    ],
)
def test_each_way_to_log_in(vault: VaultSettings, meant: object) -> None:
    assert login(vault) == meant


def test_the_cluster_is_known_by_all_that_is_set() -> None:
    vault = VaultSettings(addresses=ADDRESS, namespace="n", ca=Path("ca"), certificate=FILE, key=KEY)
    made = cluster(vault)
    assert (made.addresses, made.namespace, made.ca, made.certificate) == (
        ADDRESS,
        "n",
        Path("ca"),
        (FILE, KEY),
    )


async def test_each_store(loaded: Load) -> None:
    sealed, vault = (
        credential_source(settings, SystemClock(), vault_session(settings, SystemClock()))
        for settings in (loaded(MINIMAL), loaded(IN_VAULT + 'auth = "kubernetes"'))
    )
    assert isinstance(sealed, SealedKeySource)
    assert isinstance(vault, VaultKeySource)
    assert (sealed.unready(), sealed.trouble(), vault.trouble()) == ("", "", "")
    assert "logging in" in vault.unready()
    for source in (sealed, vault):
        await source.aclose()


def test_the_readmes_vault_settings_are_complete(loaded: Load) -> None:
    text = example_configuration("role_id")
    rest = MINIMAL.replace('[keys]\ndirectory = "keys"\n', "")
    assert loaded(rest + text).vault.role_id is not None
