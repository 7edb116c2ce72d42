"""`broker dev`: loopback only, and dev.json with its names fixed."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from broker.cli.dev import dev
from broker.errors import ConfigError
from tests.commands import typed
from tests.running import RunningBroker


@pytest.mark.parametrize("option", ["--https", "--grpc", "--console"])
def test_a_public_address_is_refused(tmp_path: Path, option: str) -> None:
    done = typed("dev", "--dir", tmp_path / "b", option, "0.0.0.0:0")
    assert (done.returncode, done.stdout) == (3, "")
    assert "loopback only" in done.stderr
    assert "broker serve" in done.stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("address", ["[::]:0", "192.0.2.7:0", "example.org:0", "localhost.evil:0", ":0", "1"])
def test_no_spelling_of_a_public_address_is_taken_for_loopback(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="loopback only"):
        dev(tmp_path / "b", https=address)


def test_dev_json_names_everything_that_exists(broker: RunningBroker) -> None:
    said = json.loads((broker.directory / "dev.json").read_text())
    assert list(said) == [
        "https", "grpc", "console", "ca", "identities", "logs", "policies", "upstream", "pid",
    ]  # fmt: skip
    assert said["https"].startswith("https://127.0.0.1:")
    assert said["grpc"].startswith("127.0.0.1:")
    assert said["console"].startswith("http://127.0.0.1:")
    assert said["upstream"].startswith("http://127.0.0.1:")
    assert said["pid"] == broker.process.pid
    names = ["assistant", "batch", "explorer", "intruder", "operator", "auditor"]
    assert list(said["identities"]) == names
    for name, identity in said["identities"].items():
        assert list(identity) == ["spiffe_id", "cert", "key"]
        assert identity["spiffe_id"] == f"spiffe://dev.broker/ns/demo/sa/{name}"
        assert stat.S_IMODE(Path(identity["key"]).stat().st_mode) == 0o600
        assert "BEGIN CERTIFICATE" in Path(identity["cert"]).read_text()
    assert "BEGIN CERTIFICATE" in Path(said["ca"]).read_text()
    assert (Path(said["policies"]) / "calls.rego").is_file()


def test_dev_json_names_the_log_and_its_key(broker: RunningBroker) -> None:
    (log,) = json.loads((broker.directory / "dev.json").read_text())["logs"]
    assert list(log) == ["origin", "path", "vkey"]
    checkpoint, deadline = Path(log["path"]) / "checkpoint", time.monotonic() + 10
    while not checkpoint.exists() and time.monotonic() < deadline:  # it comes a moment after `ready`
        time.sleep(0.05)
    assert checkpoint.read_text().splitlines()[0] == log["origin"]
    assert (Path(log["path"]) / "log.vkey").read_text().strip() == log["vkey"]


def test_what_dev_keeps_is_for_its_owner_only(broker: RunningBroker) -> None:
    assert stat.S_IMODE(broker.directory.stat().st_mode) == 0o700


def test_it_says_loudly_that_it_is_for_development(broker: RunningBroker) -> None:
    said = broker.errors.read_text()
    assert "DEV MODE" in said
    assert "never for production" in said.replace("\n", " ")


@pytest.mark.parametrize(
    "line", [[], ["serve"], ["serve", "--nope"], ["nonsense"], ["audit", "show"], ["serve", "--config", "x"]]
)
def test_a_command_that_could_not_run_ends_with_3(line: list[str]) -> None:
    done = typed(*line)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
