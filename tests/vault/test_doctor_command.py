"""`broker doctor` at a real Vault: a line that is missing is named, and one too many does not go unseen."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.keystore import SealedStore
from broker.adapters.vault import AppRole
from broker.adapters.vault.provision.grants import Need, PathGrant, VaultNames, broker_policy
from broker.cli.main import app
from broker.simulator import Organization, Simulator
from broker.simulator.organization import SpendLimit
from tests.ephemeral_keys.network import ADMIN_KEY
from tests.vault.server import RealVault, Wrapped
from tests.vault.serving import configuration, placed, vault_sections
from tests.vault.setups import KEY, cluster, key_of, key_store, vault_at

pytestmark = pytest.mark.servers

GRANTS = broker_policy(VaultNames()).grants


@pytest.fixture
def role(server: RealVault) -> Wrapped:
    server.put("openai", KEY)
    return server.approle("doctor")


@pytest.fixture
def config(server: RealVault, role: Wrapped, tmp_path: Path) -> Path:
    """Uses Vault for all that it can do."""
    return configured(server, role, tmp_path, certify=True, pki_role="broker", server_names=["localhost"])


@pytest.fixture
def own(server: RealVault, role: Wrapped, tmp_path: Path) -> tuple[str, str]:
    """A wrapped secret id for the doctor alone."""
    server.wrap("doctor", tmp_path / "doctor.wrapped")
    return "--wrapped-secret-id", str(tmp_path / "doctor.wrapped")


def configured(server: RealVault, role: Wrapped, directory: Path, **uses: object) -> Path:
    sections = vault_sections(server, role)
    vault = {**sections["vault"], **uses}
    return configuration(directory, "https://api.openai.com/v1", {**sections, "vault": vault})


def ask(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--config", str(config), *words])


def found(done: Result, level: str) -> list[dict[str, Any]]:
    return [check for check in json.loads(done.output) if check["level"] == level]


def test_all_is_well_and_nothing_is_spent(
    server: RealVault, config: Path, role: Wrapped, own: tuple[str, str]
) -> None:
    before = len(server.audited())
    done = ask(placed(config), "--json", *own)
    assert (done.exit_code, found(done, "bad"), found(done, "warning")) == (0, [], [])
    told = " ".join(check["told"] for check in json.loads(done.output))
    assert all(grant.stanza in told for grant in GRANTS)
    assert "The key openai can be leased, version 1." in told
    assert KEY not in done.output
    assert [each["path"] for each in server.audited()[before:]][-1] == "auth/token/revoke-self"


async def test_the_brokers_own_secret_id_is_left_to_the_broker(
    server: RealVault, config: Path, role: Wrapped
) -> None:
    done = await asyncio.to_thread(ask, config, "--json")
    assert done.exit_code == 2
    assert "only once" in found(done, "unknown")[0]["told"]
    vault = vault_at(cluster(server), AppRole(role.role_id, role.secret_id_file))
    assert await key_of(vault) == KEY
    await vault.aclose()


async def test_the_admin_key_of_the_one_login_asks_for_spend_limits(
    server: RealVault, role: Wrapped, own: tuple[str, str], tmp_path: Path
) -> None:
    """A wrapped secret id opens once: nobody logs in again for it."""
    server.put("openai-admin", ADMIN_KEY)
    organization = Organization(admin_keys=(ADMIN_KEY,), projects=("proj_one",))
    organization.spend_limits = {"proj_one": SpendLimit(50_000), None: SpendLimit(90_000)}
    async with Simulator(organization=organization) as simulator:
        sections: dict[str, dict[str, object]] = {
            **vault_sections(server, role),  # type: ignore[dict-item]
            "credentials.openai": {"upstream_auth": "dynamic_key", "project": "proj_one"},
            "dynamic_keys": {"url": f"{simulator.url}/v1", "instance": str(tmp_path / "instance")},
        }
        config = placed(configuration(tmp_path, "https://api.openai.com/v1", sections))
        done = await asyncio.to_thread(ask, config, "--json", *own)
    told = [check["told"] for check in json.loads(done.output) if check["subject"] == "spend"]
    assert ["500.00 USD" in told[0], "900.00 USD" in told[1]] == [True, True], done.output
    assert ADMIN_KEY not in done.output


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.path)
def test_a_missing_line_is_named(
    server: RealVault, config: Path, own: tuple[str, str], grant: PathGrant
) -> None:
    text = broker_policy(VaultNames()).text
    assert grant.stanza in text
    server.call("PUT", "sys/policies/acl/broker", {"policy": text.replace(grant.stanza, "")})
    done = ask(config, "--json", *own)
    assert done.exit_code == 1
    named = [check for check in found(done, "bad") if "lacks" in check["told"]]
    assert [check["remedy"] for check in named] == [f"Add this line: {grant.stanza}"]


def test_lines_that_the_configuration_does_not_need_may_be_missing(
    server: RealVault, role: Wrapped, own: tuple[str, str], tmp_path: Path
) -> None:
    unused = [grant for grant in GRANTS if grant.need in {Need.CERTIFY, Need.LISTENERS}]
    text = broker_policy(VaultNames()).text
    for grant in unused:
        text = text.replace(grant.stanza, "")
    server.call("PUT", "sys/policies/acl/broker", {"policy": text})
    done = ask(placed(configured(server, role, tmp_path)), "--json", *own)
    assert (len(unused), done.exit_code, found(done, "bad"), found(done, "warning")) == (3, 0, [], [])


def test_a_vault_that_only_certifies_needs_no_line_for_keys(
    server: RealVault, role: Wrapped, own: tuple[str, str], tmp_path: Path
) -> None:
    unused = [grant for grant in GRANTS if grant.need is Need.KEYS]
    text = broker_policy(VaultNames()).text
    for grant in unused:
        text = text.replace(grant.stanza, "")
    server.call("PUT", "sys/policies/acl/broker", {"policy": text})
    SealedStore(tmp_path / "sealed").put("openai", KEY)
    vault = {**vault_sections(server, role)["vault"], "certify": True}
    keys = {"directory": str(tmp_path / "sealed")}
    sections: dict[str, dict[str, object]] = {"keys": {**keys}, "vault": vault}
    done = ask(placed(configuration(tmp_path, "https://api.openai.com/v1", sections)), "--json", *own)
    told = " ".join(check["told"] for check in found(done, "good"))
    assert (done.exit_code, found(done, "bad"), found(done, "warning")) == (0, [], [])
    assert "The key openai opens" in told
    assert "transit/sign/broker" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('path "secret/data/openai/*" { capabilities = ["read", "update"] }', "update on secret/data/openai"),
        ('path "sys/policies/acl/*" { capabilities = ["update"] }', "update on sys/policies/acl/broker"),
        ('path "secret/*" { capabilities = ["read"] }', "read on secret/data/not-of-the-broker"),
        ('path "cubbyhole/*" { capabilities = ["read"] }', "read on cubbyhole/"),  # Vault's default policy
        ('path "auth/token/create" { capabilities = ["update"] }', "update on auth/token/create"),
        ('path "secret/metadata/openai/" { capabilities = ["list"] }', "list on secret/metadata/openai/"),
    ],
)
def test_too_much_power_is_told(
    server: RealVault, config: Path, own: tuple[str, str], line: str, told: str
) -> None:
    server.call("PUT", "sys/policies/acl/broker", {"policy": f"{broker_policy(VaultNames()).text}\n{line}\n"})
    done = ask(config, "--json", *own)
    assert done.exit_code == 0
    assert any(told in check["told"] for check in found(done, "warning"))


def test_a_root_token_is_far_too_much(server: RealVault, config: Path, tmp_path: Path) -> None:
    server.token_file(tmp_path / "root", "root")
    done = ask(config, "--json", "--token-file", str(tmp_path / "root"))
    assert done.exit_code == 0
    assert sum("root on" in check["told"] for check in found(done, "warning")) > 10


def test_a_spent_secret_id_is_told(
    server: RealVault, config: Path, role: Wrapped, own: tuple[str, str]
) -> None:
    server.call("POST", "sys/wrapping/unwrap", {"token": role.secret_id_file.read_text().strip()})
    done = ask(placed(config), "--json", *own)
    assert done.exit_code == 0
    assert "spent or expired" in found(done, "warning")[0]["told"]


def test_a_sealed_vault_is_told(server: RealVault, config: Path, own: tuple[str, str]) -> None:
    server.seal()
    done = ask(config, "--json", *own)
    assert (done.exit_code, "sealed" in found(done, "bad")[0]["told"]) == (1, True)


def test_each_key_that_policies_name_is_looked_for(config: Path, own: tuple[str, str]) -> None:
    """Issue 12, A.9: a credential that nobody had put into Vault was found missing by its first call."""
    data = config.parent / "policies/data.json"
    data.write_text(data.read_text().replace('"credential": "openai"', '"credential": "claims"', 1))
    told = [check["told"] for check in found(ask(config, "--json", *own), "warning")]
    assert "Policies name 'claims'. Vault has no key at secret/openai/claims." in told


def test_a_missing_or_quarantined_key_is_told(server: RealVault, config: Path, own: tuple[str, str]) -> None:
    with key_store(server) as store:
        store.quarantine("openai", "lost laptop")
    done = ask(config, "--json", "--credential", "openai", "--credential", "other", *own)
    assert done.exit_code == 1
    assert [check["told"] for check in found(done, "bad")] == [
        "The key at secret/openai/openai is quarantined.",
        "Vault has no key at secret/openai/other.",
    ]
