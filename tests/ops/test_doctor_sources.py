"""`broker doctor` on credentials that are in no store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from broker.adapters.keystore import SealedStore
from broker.simulator import Organization, Simulator
from tests.ephemeral_keys.network import ADMIN_KEY
from tests.ops.test_doctor import found, run
from tests.simulator.issuer import Issuer
from tests.vault.serving import Sections, configuration

URL = "https://api.openai.com/v1"


def federated(home: Path, **more: str) -> dict[str, object]:
    trust = {"identity_provider_id": "idp_one", "service_account_id": "svc_acct_one"}
    return {
        "upstream_auth": "workload_identity",
        "subject_token": str(home / "subject.jwt"),
        **trust,
        **more,
    }


def write(home: Path, sections: Sections) -> None:
    configuration(home, URL, sections)


def test_without_a_store_every_credential_needs_a_source(tmp_path: Path) -> None:
    token = Issuer().token(600)
    (tmp_path / "subject.jwt").write_text(token)
    write(tmp_path, {"keys": {"adapter": "none"}, "credentials.openai": federated(tmp_path)})
    done = run(tmp_path, "--json", "--credential", "openai", "--credential", "other")
    told = {check["told"] for check in found(done, "bad")}
    assert told == {"There is no store, and no other source, for the credential other."}
    assert any("subject token of the credential openai" in check["told"] for check in found(done, "good"))
    assert token not in done.output


@pytest.mark.parametrize(("content", "told"), [(None, "cannot be read"), ("x", "a JWT"), ("", "a JWT")])
def test_an_unfit_subject_token_is_bad(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "subject.jwt").write_text(content)
    write(
        tmp_path,
        {
            "keys": {"adapter": "none"},
            "credentials.openai": federated(tmp_path),
            "credentials.other": federated(tmp_path),
        },
    )
    done = run(tmp_path, "--json")
    bad = found(done, "bad")
    assert [told in check["told"] for check in bad] == [True, True]
    assert all(check["remedy"] for check in bad)


async def test_what_dynamic_keys_and_a_fallback_need_of_the_store_is_looked_for(tmp_path: Path) -> None:
    organization = Organization(admin_keys=(ADMIN_KEY,), projects=("proj_one",))
    async with Simulator(organization=organization) as simulator:
        await asyncio.to_thread(_what_they_need_is_looked_for, tmp_path, f"{simulator.url}/v1")


def _what_they_need_is_looked_for(tmp_path: Path, admin_url: str) -> None:
    (tmp_path / "subject.jwt").write_text(Issuer().token(600))
    write(
        tmp_path,
        {
            "keys": {"directory": str(tmp_path / "keys")},
            "dynamic_keys": {"url": admin_url, "instance": str(tmp_path / "instance")},
            "credentials.openai": {"upstream_auth": "dynamic_key", "project": "proj_one"},
            "credentials.other": federated(tmp_path, fallback="stored"),
        },
    )
    store = SealedStore(tmp_path / "keys")
    store.put("unrelated", "sk-unrelated-0123456789")
    done = run(tmp_path, "--json")
    assert sorted(check["told"].split("'")[1] for check in found(done, "bad")) == ["openai-admin", "stored"]
    store.put("openai-admin", ADMIN_KEY)
    store.put("stored", "sk-stored-0123456789")
    done = run(tmp_path, "--json")
    assert (done.exit_code, found(done, "bad")) == (0, [])
    assert ADMIN_KEY not in done.output
    assert not (tmp_path / "instance").exists(), "the doctor writes nothing"


def test_each_key_of_a_pool_is_looked_for_and_not_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [{"key": "openai-eu", "weight": 3}, {"key": "openai-us"}, {"key": "openai-lost"}]
    store = SealedStore(tmp_path / "keys")
    for name in ("openai-eu", "openai-us"):
        store.put(name, f"sk-{name}-0123456789")
    store.quarantine("openai-us", "leaked")
    write(tmp_path, {"keys": {"directory": str(tmp_path / "keys")}})
    monkeypatch.setenv("BROKER__POOLS", json.dumps({"openai": {"members": members}}))
    done = run(tmp_path, "--json")
    assert [check["told"].split("'")[1] for check in found(done, "bad")] == ["openai-lost"]
    of_keys = [check["told"] for check in found(done, "warning") if check["subject"] != "policy"]
    assert of_keys == ["The key openai-us is quarantined: leaked."]  # no member is for the policies' regions
    assert "The key openai-eu opens, version 1." in {check["told"] for check in found(done, "good")}
