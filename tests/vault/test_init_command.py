"""`broker vault init` on a real, empty Vault: it shows everything, does it, and then has nothing to do."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from broker.adapters.vault import AppRole
from broker.adapters.vault.provision.grants import VaultNames
from broker.adapters.vault.provision.plan import Step, StepState, judge, plan
from broker.cli.main import app
from tests.vault.server import RealVault
from tests.vault.setups import KEY, cluster, key_of, vault_at

pytestmark = pytest.mark.servers

TRUST_DOMAIN = "example.org"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVault]:
    """A Vault in which nothing has been set up."""
    server = RealVault(tmp_path_factory.mktemp("bare"))
    server.token_file(server.directory / "root.token", "root")
    yield server
    server.stop()


def init(server: RealVault, *words: str) -> Result:
    where = ["--address", server.address, "--ca", str(server.ca), "--trust-domain", TRUST_DOMAIN]
    token = ["--token-file", str(server.directory / "root.token")]
    return CliRunner().invoke(app, ["vault", "init", *where, *token, *words])


def states(server: RealVault) -> list[str]:
    return [each["state"] for each in json.loads(init(server, "--plan", "--json").output)]


def test_a_plan_shows_all_and_writes_nothing(bare: RealVault) -> None:
    shown = init(bare, "--plan")
    assert shown.exit_code == 0, shown.output
    for told in (
        'path "secret/data/openai/*"',
        "auth/approle/role/broker",
        "transit/keys/broker",
        "pki/roles/",
    ):
        assert told in shown.output
    assert set(states(bare)) == {"missing"}
    unasked = init(bare)
    assert (unasked.exit_code, set(states(bare))) != (0, {"done"})
    assert set(states(bare)) == {"missing"}


def test_it_is_done_once_and_a_second_run_has_nothing_to_do(bare: RealVault, tmp_path: Path) -> None:
    file = tmp_path / "wrapped"
    done = init(bare, "--yes", "--wrapped-secret-id", str(file))
    assert done.exit_code == 0, done.output
    assert done.output.index("write auth/approle/role/broker") < done.output.index("role_id = ")
    after = done.output[: done.output.index("[keys]")].rindex("✓ done")
    assert "+ missing" not in done.output[done.output.index("✓ done") : after]
    assert "certify = true" in done.output
    assert set(states(bare)) == {"done"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in done.output
    bare.audit()
    before = len(_written(bare))
    again = init(bare, "--yes")
    assert (again.exit_code, "nothing to do" in again.output) == (0, True)
    assert _written(bare)[before:] == []
    assert bare.call("GET", "sys/policies/acl/broker")["data"]["policy"].count("path ") == 8


async def test_the_role_and_its_wrapped_secret_id_lease_a_key(bare: RealVault, tmp_path: Path) -> None:
    file = tmp_path / "wrapped"
    done = init(bare, "--yes", "--wrapped-secret-id", str(file))
    role_id = json.loads(done.output.split("role_id = ")[1].splitlines()[0])
    bare.put("openai", KEY)
    vault = vault_at(cluster(bare), AppRole(role_id, file))
    assert await key_of(vault) == KEY
    await vault.aclose()


def test_the_listeners_role_is_made_for_the_names_of_the_broker_and_stays(bare: RealVault) -> None:
    init(bare, "--yes")
    named = ("--server-name", "broker.example.org", "--server-name", "10.0.0.7")
    made = init(bare, "--yes", *named)
    assert 'pki_role = "broker"' in made.output
    assert 'server_names = ["broker.example.org", "10.0.0.7"]' in made.output
    assert (made.exit_code, "write pki/roles/broker\n" in made.output) == (0, True)
    role = bare.call("GET", "pki/roles/broker")["data"]
    assert (role["allowed_domains"], role["allow_ip_sans"]) == (["broker.example.org"], True)
    for again in (init(bare, "--yes"), init(bare, "--yes", *named)):
        assert "nothing to do" in again.output
    assert bare.call("GET", "pki/roles/broker")["data"] == role


def test_what_was_changed_is_put_right_and_named(bare: RealVault) -> None:
    init(bare, "--yes")
    bare.call("PUT", "sys/policies/acl/broker", {"policy": 'path "*" { capabilities = ["sudo"] }'})
    bare.call("POST", "auth/approle/role/broker", {"token_no_default_policy": False})
    shown = init(bare, "--plan").output
    assert "policy broker (policy)" in shown
    assert "AppRole role broker (token_no_default_policy)" in shown
    assert init(bare, "--yes").exit_code == 0
    assert set(states(bare)) == {"done"}


def test_a_mount_of_another_kind_is_left_alone(bare: RealVault) -> None:
    init(bare, "--yes")
    bare.call("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    done = init(bare, "--yes", "--mount", "old")
    assert (done.exit_code, "options.version" in done.output) == (1, True)
    assert bare.call("GET", "sys/mounts")["data"]["old/"]["options"] == {"version": "1"}


def test_the_transit_key_cannot_be_exported(bare: RealVault) -> None:
    init(bare, "--yes")
    with pytest.raises(AssertionError, match="not exportable"):
        bare.call("GET", "transit/export/signing-key/broker")
    with pytest.raises(AssertionError, match="disallowed"):
        bare.call("GET", "transit/backup/broker")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"uri_sans": f"spiffe://{TRUST_DOMAIN}/ns/demo/sa/assistant"}, True),
        ({"uri_sans": "spiffe://elsewhere.org/ns/demo/sa/assistant"}, False),
        ({"uri_sans": f"https://{TRUST_DOMAIN}/"}, False),
        ({"uri_sans": f"spiffe://{TRUST_DOMAIN}/a", "alt_names": "example.org"}, False),
        ({"uri_sans": f"spiffe://{TRUST_DOMAIN}/a", "ip_sans": "127.0.0.1"}, False),
        ({"uri_sans": f"spiffe://{TRUST_DOMAIN}/a", "common_name": "example.org"}, False),
        ({"uri_sans": f"spiffe://{TRUST_DOMAIN}/a", "common_name": "localhost"}, False),
    ],
)
def test_the_pki_role_certifies_spiffe_ids_of_the_trust_domain_only(
    bare: RealVault, asked: dict[str, str], given: bool
) -> None:
    init(bare, "--yes")
    if not given:
        with pytest.raises(AssertionError, match="400"):
            bare.call("POST", "pki/issue/broker-service", asked)
        return
    issued = bare.call("POST", "pki/issue/broker-service", asked)["data"]
    certificate = x509.load_pem_x509_certificate(issued["certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(asked["uri_sans"])]
    assert certificate.subject.rfc4514_string() == ""


def test_a_step_is_judged_by_what_it_wants_alone() -> None:
    step = Step("", "", "r", {"a": 1, "b": {"c": 2}}, "w", {}, fixed=True)
    assert judge(step, None).state is StepState.MISSING
    assert judge(step, {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}).state is StepState.DONE
    clash = judge(step, {"a": 1, "b": {"c": 3}})
    assert (clash.state, clash.differences) == (StepState.CLASH, ("b.c",))


def test_every_step_says_why_and_writes_what_it_wants() -> None:
    for step in plan(VaultNames(), TRUST_DOMAIN):
        assert step.why.endswith(".")
        assert all(step.body[name] == value for name, value in step.wanted.items())


def _written(server: RealVault) -> list[str]:
    """What was written since the audit device is on."""
    reading = {"read", "list"}
    return [each["path"] for each in server.audited() if each["operation"] not in reading]
