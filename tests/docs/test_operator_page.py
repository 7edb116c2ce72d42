"""The README's operator page, followed in a folder of its own: keys, configuration, serve, stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.adapters.pki import DevPki
from tests.commands import Done
from tests.docs.pages import README
from tests.docs.test_tables import example_configuration
from tests.nursery import the_nursery

BROKER = (sys.executable, "-m", "broker.cli.main")
KEY = "sk-made-up-0123456789abcdef"


@dataclass(frozen=True)
class Site:
    """One operator's machine: /etc/broker and /var/lib/broker below `root`."""

    root: Path
    pki: DevPki

    @property
    def keystore(self) -> Path:
        return self.root / "var/lib/broker/keys"

    def run(self, *words: str | Path, given: str = "") -> Done:
        return the_nursery().spawn(*map(str, words)).done(given)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The README's configuration on free ports, with certificates and policies of example.org."""
    tmp_path = tmp_path_factory.mktemp("machine")
    etc = tmp_path / "etc/broker"
    pki = DevPki.load_or_create(tmp_path / "pki", "example.org")
    (etc / "tls").mkdir(parents=True)
    server = pki.server()
    for source, name in ((server.cert, "server.pem"), (server.key, "server.key"), (pki.ca, "clients.pem")):
        shutil.copy(source, etc / "tls" / name)
    shutil.copytree(README.parent / "policies", etc / "policies")
    for name in ("data.json", "demonstration_data_test.rego"):
        grants = etc / "policies" / name
        grants.write_text(grants.read_text().replace("spiffe://dev.broker/", "spiffe://example.org/"))
    text = example_configuration()
    for written, meant in (
        ("/etc/broker", str(etc)),
        ("/var/lib/broker", str(tmp_path / "var/lib/broker")),
        ("0.0.0.0:8443", "127.0.0.1:0"),
        ("0.0.0.0:8444", "127.0.0.1:0"),
        ("127.0.0.1:8445", "127.0.0.1:0"),
    ):
        assert written in text
        text = text.replace(written, meant)
    (etc / "broker.toml").write_text(text)
    return Site(tmp_path, pki)


@pytest.fixture(scope="module")
def https(site: Site) -> Iterator[str]:
    """`broker serve`, and the URL it printed; ended by SIGTERM with exit code 0."""
    process = subprocess.Popen(
        [*BROKER, "serve", "--config", str(site.root / "etc/broker/broker.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(3)]
    assert said[2] == "ready", said
    yield said[0].removeprefix("https ")
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(20) == 0


def test_a_key_comes_from_standard_input_and_is_never_shown(site: Site) -> None:
    imported = site.run("keys", "import", "openai", "--keystore", site.keystore, given=KEY + "\n")
    listed = site.run("keys", "list", "--keystore", site.keystore)
    rotated = site.run("keys", "rotate", "openai", "--keystore", site.keystore, given=KEY + "2\n")
    assert [done.returncode for done in (imported, listed, rotated)] == [0, 0, 0]
    assert "openai" in listed.stdout
    assert "version 2" in rotated.stdout
    assert KEY not in "".join(done.stdout + done.stderr for done in (imported, listed, rotated))


def test_the_complete_configuration_serves(site: Site, https: str) -> None:
    who = site.pki.workload("batch")
    identity = ["--https", https, "--cert", str(who.cert), "--key", str(who.key), "--ca", str(site.pki.ca)]
    issued = site.run("token", "issue", *identity)
    assert issued.returncode == 0, issued.stderr
    assert issued.stdout.count(".") == 2
    refused = site.run("call", "chat", "Hello", *identity)
    assert refused.returncode == 1
    shown = site.run("audit", "show", site.root / "var/lib/broker/log", "--type", "denied", "--json")
    assert '"subject":"spiffe://example.org/ns/demo/sa/batch"' in shown.stdout


def test_a_second_broker_on_the_same_log_is_refused(site: Site, https: str) -> None:
    second = site.run("serve", "--config", site.root / "etc/broker/broker.toml")
    assert (https.startswith("https://"), second.returncode) == (True, 3)
    assert "Traceback" not in second.stderr
