"""`broker keys` on a real Vault, as an operator types it, and what a serving broker makes of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import openai
import pytest
from typer.testing import CliRunner, Result

from broker.cli.keys import app
from tests.vault.server import RealVault
from tests.vault.serving import configuration, serving, vault_sections
from tests.vault.setups import KEY, NEXT
from tests.vault.test_login import certificate
from tests.vault.test_serve_outages import assert_refused, assert_well_again, chat, embed

pytestmark = pytest.mark.servers


@pytest.fixture
def config(server: RealVault, tmp_path: Path) -> Path:
    return configuration(
        tmp_path, "https://api.openai.com/v1", vault_sections(server, server.approle("keys-command"))
    )


def run(config: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)], input=stdin)


def test_keys_are_imported_rotated_and_listed(server: RealVault, config: Path) -> None:
    token = ("--token-file", str(server.keys_token))
    assert json.loads(run(config, "list", "--json", *token).output) == []
    imported = run(config, "import", "openai", *token, stdin=KEY + "\n")
    rotated = run(config, "rotate", "openai", "--json", *token, stdin=NEXT)
    assert (imported.exit_code, rotated.exit_code) == (0, 0), imported.output + rotated.output
    assert imported.output == "stored openai version 1 in Vault at secret/openai\n"
    listed = json.loads(run(config, "list", "--json", *token).output)
    shown = [(each["name"], each["version"], each["state"]) for each in listed]
    assert shown == [("openai", 1, "replaced"), ("openai", 2, "current")]
    assert server.call("GET", "secret/data/openai/openai")["data"]["data"] == {"key": NEXT}
    assert KEY not in imported.output + run(config, "list", *token).output


def test_rotating_what_vault_does_not_have_is_refused(server: RealVault, config: Path) -> None:
    done = run(config, "rotate", "openai", "--token-file", str(server.keys_token), stdin=KEY)
    assert (done.exit_code, "no key at secret/openai/openai" in done.output) == (3, True)


def test_a_quarantine_keeps_the_other_custom_metadata(server: RealVault, config: Path) -> None:
    token = ("--token-file", str(server.keys_token))
    server.put("openai", KEY)
    server.call("POST", "secret/metadata/openai/openai", {"custom_metadata": {"owner": "payments"}})
    assert run(config, "quarantine", "openai", "--reason", "lost laptop", *token).exit_code == 0
    kept = server.call("GET", "secret/metadata/openai/openai")["data"]["custom_metadata"]
    assert kept == {"owner": "payments", "quarantined": "lost laptop", "quarantined_version": "1"}
    assert run(config, "release", "openai", *token).exit_code == 0
    kept = server.call("GET", "secret/metadata/openai/openai")["data"]["custom_metadata"]
    assert kept == {"owner": "payments"}


def test_a_hand_written_quarantine_of_every_version_is_shown(server: RealVault, config: Path) -> None:
    server.put("openai", KEY)
    server.put("openai", NEXT)
    server.call("POST", "secret/metadata/openai/openai", {"custom_metadata": {"quarantined": "[red]x"}})
    listed = run(config, "list", "--token-file", str(server.keys_token)).output
    assert listed.count("quarantined") == 2
    assert "[red]x" in listed


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_token_file_that_others_can_read_is_refused(
    server: RealVault, config: Path, tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "token"
    file.write_text(server.root)
    file.chmod(mode)
    done = run(config, "list", "--token-file", str(file))
    assert (done.exit_code, "open to others" in done.output) == (3, True)
    assert server.root not in done.output


def test_the_operators_token_never_comes_from_the_environment(
    server: RealVault, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", server.root)
    monkeypatch.setenv("VAULT_ADDR", server.address)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text(server.root)
    done = run(config, "list")
    assert (done.exit_code, "--token-file" in done.output) == (3, True)


def test_a_token_without_the_right_is_told_which_path_it_lacks(
    server: RealVault, config: Path, tmp_path: Path
) -> None:
    server.token_file(tmp_path / "token", "broker")
    done = run(config, "import", "openai", "--token-file", str(tmp_path / "token"), stdin=KEY)
    assert (done.exit_code, "secret/data/openai/openai" in done.output) == (3, True)
    assert KEY not in done.output


def test_an_operators_certificate_is_as_good_and_leaves_no_token_behind(
    server: RealVault, config: Path, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, "operator")
    settings = {"certificate": cert.read_text(), "token_policies": "broker-keys"}
    server.call("POST", "auth/cert/certs/operator", settings)
    before = len(server.audited())
    done = run(config, "list", "--json", "--cert", str(cert), "--key", str(key), "--role", "operator")
    assert (done.exit_code, json.loads(done.output)) == (0, [])
    assert [each["path"] for each in server.audited()[before:]][-1] == "auth/token/revoke-self"


def test_a_quarantined_key_is_used_by_no_call_a_second_later(server: RealVault, tmp_path: Path) -> None:
    token = ("--token-file", str(server.keys_token))
    with serving(tmp_path / "b", server, (KEY, NEXT)) as broker:
        config = tmp_path / "b" / "broker.toml"
        for name in ("openai", "other"):
            run(config, "import", name, *token, stdin=KEY)
        assert_well_again(chat, broker)
        assert embed(broker) == 1
        done = run(config, "quarantine", "other", "--reason", "seen in a public repository", *token)
        assert done.exit_code == 0, done.output
        time.sleep(1.0)
        assert_refused(broker)
        assert chat(broker).startswith("Echo")
        assert "seen in a public repository" in run(config, "list", "--json", *token).output
        with pytest.raises(openai.InternalServerError) as refused:
            embed(broker)
        assert "seen in" not in str(refused.value)
        run(config, "rotate", "other", *token, stdin=NEXT)
        assert_well_again(embed, broker)
