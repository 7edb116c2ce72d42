"""`broker doctor` where a real OPA is to decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker.adapters.keystore import SealedStore
from tests.commands import typed
from tests.opa.sidecar import running_opa
from tests.ops.test_doctor import KEY
from tests.ports import free_port
from tests.vault.serving import configuration

pytestmark = pytest.mark.servers


@pytest.fixture
def home(tmp_path: Path) -> Path:
    SealedStore(tmp_path / "keys").put("openai", KEY)
    return tmp_path


def asked(home: Path, url: str, **opa: object) -> tuple[int, list[dict[str, Any]]]:
    """The doctor's exit code and what it finds of the policies, where OPA is to decide."""
    sections: dict[str, dict[str, object]] = {
        "keys": {"directory": str(home / "keys")},
        "policy": {"adapter": "opa"},
        "opa": {"url": url, "deadline_ms": 1000, **opa},
    }
    config = configuration(home, "https://api.openai.com/v1", sections)
    done = typed("doctor", "--config", config, "--json")
    return done.returncode, [check for check in json.loads(done.stdout) if check["subject"] == "policy"]


def test_an_opa_that_decides_is_good(home: Path) -> None:
    (home / "opa").mkdir()
    with running_opa(home / "opa") as opa:
        opa.await_bundle()
        code, [check] = asked(home, opa.url)
    assert (code, check["level"], check["told"]) == (0, "good", "OPA decides, by revision test.")


def test_an_opa_with_another_bundle_is_bad(home: Path) -> None:
    (home / "opa").mkdir()
    with running_opa(home / "opa") as opa:
        opa.await_bundle()
        code, [check] = asked(home, opa.url, bundle="another")
    assert (code, check["level"]) == (1, "bad")
    assert check["told"].startswith("OPA does not decide")
    assert check["remedy"]


def test_an_opa_that_is_not_there_is_bad(home: Path) -> None:
    code, [check] = asked(home, f"http://127.0.0.1:{free_port()}")
    assert (code, check["level"]) == (1, "bad")
    assert "no connection" in check["told"]


def test_an_opa_whose_ca_cannot_be_read_is_bad(home: Path) -> None:
    (home / "no.pem").write_text("no certificate")
    code, [check] = asked(home, "https://127.0.0.1:8181", ca=str(home / "no.pem"))
    assert (code, check["level"]) == (1, "bad")
    assert check["told"].startswith("opa.ca")
