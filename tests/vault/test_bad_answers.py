"""Vaults that are busy, broken, slow, talk nonsense or point elsewhere: scripted, on TLS loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from broker.adapters.pki import DevPki
from broker.adapters.vault import Cluster, Jwt, Kubernetes, VaultKeySource
from tests.vault.fake import KEY, TOKEN, FakeVault, Script, Scripted, as_json
from tests.vault.setups import key_of, refused, vault_at, well_again

JWT = "eyJ.canary.jwt"
ECHO = f"{KEY} {TOKEN} {JWT}".encode()

FAULTS = {
    "busy": Scripted(429, b"{}", {"Retry-After": "1"}),
    "busy for an hour": Scripted(429, b"{}", {"Retry-After": "3600"}),
    "busy until nonsense": Scripted(429, b"{}", {"Retry-After": "-1, soon"}),
    "internal error": Scripted(500, b'{"errors": ["' + ECHO + b'"]}'),
    "bad gateway": Scripted(502, b"<html>" + ECHO),
    "sealed": Scripted(503, b'{"errors": ["Vault is sealed"]}'),
    "gateway timeout": Scripted(504),
    "teapot": Scripted(418, ECHO),
    "forbidden": Scripted(403, b'{"errors": ["permission denied"]}'),
    "rejected": Scripted(400, b'{"errors": ["' + ECHO + b'"]}'),
    "html": Scripted(200, b"<html>" + ECHO),
    "array": Scripted(200, b"[]"),
    "empty": Scripted(200, b""),
    "not utf-8": Scripted(200, b'{"data": "\xff\xfe"}'),
    "no data": Scripted(200, b"{}"),
    "other shapes": Scripted(
        200, b'{"data": {"data": [], "metadata": 7, "current_version": "' + ECHO + b'"}}'
    ),
    "too deep": Scripted(200, b"[" * 100_000),
    "too large": Scripted(200, b'{"data": "' + b"x" * 2_000_000 + b'"}'),
    "cut off": Scripted(200, b'{"data": {', length=1000),
    "hung up": Scripted(0),
    "slow": Scripted(200, b"{}", delay=10.0),
    "dripping": Scripted(200, b'{"data": {"data": {}}}' * 3, drip=0.3),
    "redirect to nowhere": Scripted(307, b"", {}),
    "redirect to http": Scripted(307, b"", {"Location": "http://127.0.0.1:1/v1/x"}),
    "redirect to userinfo": Scripted(302, b"", {"Location": "https://127.0.0.1:1@evil.example/v1/x"}),
    "redirect to nonsense": Scripted(308, b"", {"Location": "https://[::1/\x7f"}),
}


@pytest.fixture
def pki(tmp_path: Path) -> DevPki:
    return DevPki.load_or_create(tmp_path / "pki")


@pytest.fixture
def node(pki: DevPki) -> Iterator[FakeVault]:
    node = FakeVault(pki)
    yield node
    node.close()


@pytest.fixture
def other(pki: DevPki) -> Iterator[FakeVault]:
    other = FakeVault(pki)
    yield other
    other.close()


@pytest.fixture
def login(tmp_path: Path) -> Jwt:
    (tmp_path / "jwt").write_text(JWT)
    return Jwt("broker", tmp_path / "jwt")


@pytest.fixture
async def vault(node: FakeVault, login: Jwt) -> AsyncIterator[VaultKeySource]:
    vault = vault_at(Cluster((node.address,), ca=node.ca), login)
    yield vault
    node.script = lambda _seen: None
    await vault.aclose()


def _for_keys(answer: Scripted) -> Script:
    return lambda seen: answer if "/secret/" in seen.path else None


def _for_logins(answer: Scripted) -> Script:
    return lambda seen: answer if seen.path.endswith("/login") else None


async def test_held_keys_go_on_and_others_are_refused(pki: DevPki, login: Jwt) -> None:
    async def trial(node: FakeVault, vault: VaultKeySource, fault: Scripted) -> None:
        assert await key_of(vault) == KEY
        node.script = _for_keys(fault)
        await asyncio.sleep(1.05)
        assert await key_of(vault) == KEY
        _shows_nothing(await refused(vault, "other"))
        assert await key_of(vault) == KEY
        node.script = lambda _seen: None
        await well_again(vault, "other", KEY)

    await _each_fault(pki, login, trial)


async def test_a_login_that_fails_is_refused_and_tried_again(pki: DevPki, login: Jwt) -> None:
    async def trial(node: FakeVault, vault: VaultKeySource, fault: Scripted) -> None:
        node.script = _for_logins(fault)
        _shows_nothing(await refused(vault))
        node.script = lambda _seen: None
        await well_again(vault, "openai", KEY)

    await _each_fault(pki, login, trial)


async def _each_fault(
    pki: DevPki, login: Jwt, trial: Callable[[FakeVault, VaultKeySource, Scripted], Awaitable[None]]
) -> None:
    """The faults side by side, each on its own Vault: one by one they would take minutes."""

    some = asyncio.Semaphore(9)

    async def on_its_own(fault: Scripted) -> None:
        async with some:
            await alone(fault)

    async def alone(fault: Scripted) -> None:
        node = FakeVault(pki)
        vault = vault_at(Cluster((node.address,), ca=node.ca), login)
        try:
            await trial(node, vault, fault)
        finally:
            await vault.aclose()
            await asyncio.to_thread(node.close)

    found = await asyncio.gather(*map(on_its_own, FAULTS.values()), return_exceptions=True)
    failed = {name: error for name, error in zip(FAULTS, found, strict=True) if error is not None}
    assert not failed


@pytest.mark.parametrize("token", ["hvs.\r\nX-Evil: 1", "hvs.é", 7, None])
async def test_a_token_that_is_none_is_refused(node: FakeVault, vault: VaultKeySource, token: object) -> None:
    auth = {"client_token": token, "lease_duration": 3600, "renewable": True}
    node.script = _for_logins(as_json({"auth": auth}))
    await refused(vault)
    assert all("/secret/" not in seen.path for seen in node.seen)


async def test_a_redirect_to_a_stranger_does_not_carry_the_token_there(
    node: FakeVault, other: FakeVault, vault: VaultKeySource
) -> None:
    node.script = _for_keys(Scripted(307, b"", {"Location": f"{other.address}/v1/secret/data/openai/openai"}))
    error = await refused(vault)
    assert "redirect" in str(error)
    assert other.seen == []


async def test_a_login_redirected_to_a_stranger_does_not_carry_the_proof_there(
    node: FakeVault, other: FakeVault, vault: VaultKeySource
) -> None:
    node.script = lambda _seen: Scripted(307, b"", {"Location": f"{other.address}/v1/auth/jwt/login"})
    await refused(vault)
    assert other.seen == []


async def test_a_redirect_within_the_cluster_is_followed_with_path_method_and_token(
    node: FakeVault, other: FakeVault, login: Jwt
) -> None:
    node.script = lambda _seen: Scripted(307, b"", {"Location": f"{other.address}/v1/somewhere/else?x=1"})
    vault = vault_at(Cluster((node.address, other.address), ca=node.ca), login)
    assert await key_of(vault) == KEY
    assert [(seen.method, seen.path) for seen in other.seen] == [
        (seen.method, seen.path) for seen in node.seen
    ]
    assert json.loads(other.seen[0].body) == {"role": "broker", "jwt": JWT}
    assert other.seen[-1].headers["x-vault-token"] == TOKEN
    await vault.aclose()


async def test_nodes_that_redirect_to_each_other_are_refused(
    node: FakeVault, other: FakeVault, login: Jwt
) -> None:
    node.script = lambda _seen: Scripted(307, b"", {"Location": other.address})
    other.script = lambda _seen: Scripted(307, b"", {"Location": node.address})
    vault = vault_at(Cluster((node.address, other.address), ca=node.ca), login)
    await refused(vault)
    assert len(node.seen) + len(other.seen) <= 4
    await vault.aclose()


async def test_a_silent_node_leaves_time_for_the_next(other: FakeVault, login: Jwt) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = f"https://127.0.0.1:{silent.getsockname()[1]}"
        vault = vault_at(Cluster((first, other.address), ca=other.ca), login)
        assert await key_of(vault) == KEY
        await vault.aclose()


async def test_names_that_nobody_asks_for_any_more_take_no_room(
    node: FakeVault, vault: VaultKeySource
) -> None:
    node.script = _for_keys(Scripted(404, b"{}"))
    await asyncio.gather(*(refused(vault, f"nobody-{number}") for number in range(70)))
    await asyncio.sleep(3.2)
    await refused(vault)
    assert list(vault._kept) == ["openai"]
    assert set(dict(vault._session.troubles())) == {"openai"}


@pytest.mark.parametrize("first", ["away", "sealed"])
async def test_the_next_node_is_asked_where_the_first_cannot_answer(
    node: FakeVault, other: FakeVault, login: Jwt, first: str
) -> None:
    node.script = lambda _seen: Scripted(503)
    away = "https://127.0.0.1:1" if first == "away" else node.address
    vault = vault_at(Cluster((away, other.address), ca=node.ca), login)
    assert await key_of(vault) == KEY
    assert len(node.seen) <= 1, "the node that answers is asked first"
    await vault.aclose()


async def test_a_vault_of_another_ca_gets_no_proof(node: FakeVault, login: Jwt, tmp_path: Path) -> None:
    stranger = DevPki.load_or_create(tmp_path / "stranger")
    vault = vault_at(Cluster((node.address,), ca=stranger.ca), login)
    assert "TLS" in str(await refused(vault))
    assert node.seen == []
    await vault.aclose()


async def test_a_missing_ca_is_refused(node: FakeVault, login: Jwt, tmp_path: Path) -> None:
    vault = vault_at(Cluster((node.address,), ca=tmp_path / "none.pem"), login)
    assert "CA" in str(await refused(vault))
    await vault.aclose()


async def test_the_environment_changes_nothing(
    node: FakeVault, vault: VaultKeySource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".vault-token").write_text("hvs.from-home")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_ROLE_ID"):
        monkeypatch.setenv(name, "hvs.from-environment")
    for name in ("VAULT_ADDR", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("VAULT_CACERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, os.devnull)
    assert await key_of(vault) == KEY
    for seen in node.seen:
        assert "from-" not in json.dumps(seen.headers)
        assert "x-vault-namespace" not in seen.headers


async def test_the_namespace_is_sent_with_every_request(node: FakeVault, login: Jwt) -> None:
    vault = vault_at(Cluster((node.address,), namespace="team/a", ca=node.ca), login)
    await key_of(vault)
    assert [seen.headers["x-vault-namespace"] for seen in node.seen] == ["team/a"] * len(node.seen)
    await vault.aclose()


async def test_kubernetes_sends_the_service_account_token(node: FakeVault, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(JWT)
    login = Kubernetes("broker", tmp_path / "token", mount="kubernetes-eu")
    vault = vault_at(Cluster((node.address,), ca=node.ca), login)
    await key_of(vault)
    assert node.seen[0].path == "/v1/auth/kubernetes-eu/login"
    assert json.loads(node.seen[0].body) == {"role": "broker", "jwt": JWT}
    await vault.aclose()


async def test_mount_and_prefix_are_where_the_key_is(node: FakeVault, login: Jwt) -> None:
    vault = vault_at(Cluster((node.address,), ca=node.ca), login, mount="kv/eu", prefix="brokers/one")
    lease = await vault.lease("openai")
    assert lease.key_ref == "vault:kv/eu/brokers/one/openai"
    assert node.seen[-1].path == "/v1/kv/eu/data/brokers/one/openai"
    await vault.aclose()


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8200", "127.0.0.1:8200", "https://", "https://a@b", "https://a/ui", "https://a?x", ""],
)
def test_an_address_that_is_no_https_origin_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        Cluster((address,))


@pytest.mark.parametrize("seconds", [0.0, -1.0, 301.0, float("nan"), float("inf")])
def test_a_hold_outside_its_bounds_is_refused(login: Jwt, seconds: float) -> None:
    with pytest.raises(ValueError, match="hold_seconds"):
        vault_at(Cluster(("https://127.0.0.1:1",)), login, hold_seconds=seconds)


def _shows_nothing(error: BaseException) -> None:
    """Nothing of a key, a token or a proof: in texts, in what is chained, in any frame's locals."""
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    for secret in (KEY, TOKEN, JWT):
        assert secret not in shown + repr(error) + repr(vars(error))


async def test_no_log_line_shows_a_secret(
    node: FakeVault,
    vault: VaultKeySource,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At the most talkative level of every library, through a good call and a bad one."""
    caplog.set_level(logging.DEBUG)
    await vault.start()
    assert await key_of(vault) == KEY
    node.script = _for_keys(FAULTS["internal error"])
    await refused(vault, "other")
    node.script = _for_keys(FAULTS["html"])
    await refused(vault, "third")
    captured = capfd.readouterr()
    shown = caplog.text + captured.out + captured.err
    assert "/v1/secret/data/openai/openai" in shown, "nothing was logged: this shows nothing"
    assert "vault_failing" in shown
    for secret in (KEY, TOKEN, JWT):
        assert secret not in shown


async def test_an_unforeseen_failure_brings_no_frames_along(
    vault: VaultKeySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(credential: str, known: object, deadline: float) -> None:
        secret = KEY
        raise IndexError(secret)

    monkeypatch.setattr(vault._keys, "fetch", fetch)
    error = await refused(vault)
    assert "IndexError" in str(error)
    _shows_nothing(error)


def test_the_hunt_for_secrets_finds_one() -> None:
    """A check that cannot fail shows nothing."""

    def leak(secret: str) -> None:
        raise ValueError(len(secret))

    with pytest.raises(ValueError, match="26") as caught:
        leak(KEY)
    with pytest.raises(AssertionError):
        _shows_nothing(caught.value)
