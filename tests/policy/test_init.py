"""`broker policy init`: a company's own set, which passes everything and grants nothing; and what its tests
stop, in a folder as in a bundle.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.clock import SystemClock
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.origin import Folder, SignedBundle
from broker.adapters.rego.preflight import trial_of, try_policies
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.cli.main import app
from broker.errors import BrokerError
from broker.model.decision import PolicyVersion
from broker.ports import DecisionPoint
from tests.opa.sidecar import opa_binary
from tests.policy.documents import call, deed, wish

WEB = "spiffe://acme.example/ns/claims/sa/web"


def broker(*words: str) -> Result:
    return CliRunner().invoke(app, ["policy", *words], env={"PATH": "/nowhere"})


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    folder = tmp_path / "acme"
    done = broker("init", "--trust-domain", "acme.example", str(folder))
    assert done.exit_code == 0, done.output
    assert "spiffe://acme.example/ns/security/sa/operator" in done.stdout
    return folder


@pytest.mark.servers
def test_a_new_set_passes_check_test_and_build(acme: Path) -> None:
    for words in (("check", str(acme)), ("test", str(acme))):
        done = broker(*words, "--opa", opa_binary(), "--json")
        said = json.loads(done.stdout)
        assert (done.exit_code, said["verdict"]) == (0, "good")
    key, bundle = acme.parent / "key.pem", acme.parent / "bundle.tar.gz"
    signed = ("--signing-key", str(key), "--new-key", "--revision", "first", "-o", str(bundle))
    assert broker("build", str(acme), *signed).exit_code == 0
    with SignedBundle(bundle, key.with_suffix(".pub.pem")).contents() as contents:
        assert (contents.directory / "schema/base.data.json").is_file()
        assert EmbeddedAuthorizer(contents.directory).version.revision == "first"


async def test_a_new_set_denies_everybody_everything_until_it_is_granted(acme: Path) -> None:
    authorizer = EmbeddedAuthorizer(acme)
    asked = {
        DecisionPoint.CALLS: call(),
        DecisionPoint.TOKENS: wish(),
        DecisionPoint.ADMIN: deed("operator", "audit.read"),
    }
    for point, document in asked.items():
        for subject in (WEB, "spiffe://dev.broker/ns/demo/sa/assistant"):
            document["subject"] = {"id": subject, "tenant": "x", "actor_chain": []}
            result = (await authorizer.evaluate(point, document)).result
            assert isinstance(result, dict)
            assert result["rule"] == "subject_not_granted"


async def test_an_operator_is_granted_as_it_is_told(acme: Path) -> None:
    operator = "spiffe://acme.example/ns/security/sa/operator"
    data = json.loads((acme / "data.json").read_text())
    data["grants"][operator] = {"role": "operator"}
    (acme / "data.json").write_text(json.dumps(data))
    document = deed("operator", "token.revoke")
    document["subject"] = {"id": operator, "tenant": "security", "actor_chain": []}
    result = (await EmbeddedAuthorizer(acme).evaluate(DecisionPoint.ADMIN, document)).result
    assert isinstance(result, dict)
    assert result["allow"] is True


@pytest.mark.parametrize("domain", ["Example.org", "a b", "spiffe://x", "", "x/y", "-x"])
def test_a_trust_domain_is_a_host_name(tmp_path: Path, domain: str) -> None:
    done = broker("init", "--trust-domain", domain, str(tmp_path / "new"))
    assert isinstance(done.exception, BrokerError)
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(acme: Path) -> None:
    again = broker("init", "--trust-domain", "acme.example", str(acme))
    assert isinstance(again.exception, BrokerError)
    assert "not an empty folder" in str(again.exception)


async def _unheard(_: PolicyVersion) -> None:
    """Nobody records the versions here."""


def _grant_to(acme: Path, subject: str) -> None:
    data = json.loads((acme / "data.json").read_text())
    data["grants"][subject] = {"role": "auditor"}
    (acme / "data.json").write_text(json.dumps(data))


async def test_a_folder_whose_tests_fail_never_rules_as_a_bundle_never_does(acme: Path) -> None:
    """218 failing tests were refused as a bundle and activated as a directory."""
    following = ReloadingAuthorizer(Folder(acme), SystemClock())
    await following.start(_unheard)
    try:
        first = following.version
        _grant_to(acme, "spiffe://acme.example/ns/apps/sa/web")
        await following.look()
        assert "company_data_test.rego:" in following.problem()
        assert following.version == first
    finally:
        await following.aclose()
    with pytest.raises(BrokerError, match="company_data_test"), Folder(acme).contents() as contents:
        await contents.try_them()  # and at a start


async def test_a_folder_whose_rules_changed_is_held_to_their_tables(acme: Path) -> None:
    text = (acme / "content.rego").read_text()
    (acme / "content.rego").write_text(text.replace('else := "block"', 'else := "allow"'))
    with pytest.raises(BrokerError, match=r"calls_test\.rego:"), Folder(acme).contents() as contents:
        await contents.try_them()


async def test_mistaken_data_never_rules_on_a_reload(acme: Path) -> None:
    following = ReloadingAuthorizer(Folder(acme), SystemClock())
    await following.start(_unheard)
    try:
        first = following.version
        data = json.loads((acme / "data.json").read_text())
        data["roles"]["auditor"]["require"] = {"user": True}
        (acme / "data.json").write_text(json.dumps(data, indent=1))
        await following.look()
        assert following.problem().startswith("data.json:")
        assert "`roles.auditor.require` is no field of a role" in following.problem()
        assert following.version == first
    finally:
        await following.aclose()


async def test_a_trial_runs_all_tables_and_a_look_none(acme: Path) -> None:
    assert (await trial_of(acme)).cases > 200
    await try_policies(acme)
