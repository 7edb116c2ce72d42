"""The ways to log in, on a real Vault: what each needs, what it refuses, how it comes back."""

from __future__ import annotations

import asyncio
import stat
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.adapters.vault import AppRole, Certificate, Jwt, Kubernetes, VaultKeySource
from tests.vault.server import RealVault
from tests.vault.setups import (
    KEY,
    app_role,
    cluster,
    key_of,
    own_token,
    refused,
    vault_at,
    vault_on,
    well_again,
)

pytestmark = pytest.mark.servers


async def test_a_wrapped_secret_id_is_unwrapped_once_and_its_file_left_alone(server: RealVault) -> None:
    login = app_role(server, "unwrap")
    before = login.wrapped_secret_id.read_bytes()
    unwrapped = len(_requests(server, "sys/wrapping/unwrap"))
    server.put("openai", KEY)
    vault = vault_on(server, login)
    assert await key_of(vault) == KEY
    assert login.wrapped_secret_id.read_bytes() == before
    server.call("POST", "auth/token/revoke", {"token": own_token(vault)})
    vault.forget("openai")
    await well_again(vault, "openai", KEY)
    assert len(_requests(server, "sys/wrapping/unwrap")) == unwrapped + 1
    await vault.aclose()


async def test_a_secret_id_that_somebody_else_unwrapped_is_reported(server: RealVault) -> None:
    login = app_role(server, "stolen")
    server.call("POST", "sys/wrapping/unwrap", {"token": login.wrapped_secret_id.read_text().strip()})
    vault = vault_on(server, login)
    error = await refused(vault)
    assert "spent or expired" in str(error)
    assert "find out who" in str(error)
    await vault.aclose()


async def test_a_wrapping_token_of_something_else_is_refused_before_it_is_opened(server: RealVault) -> None:
    login = app_role(server, "substitute")
    planted = server.call("POST", "sys/wrapping/wrap", {"secret_id": "x"}, **{"X-Vault-Wrap-TTL": "60s"})
    token = planted["wrap_info"]["token"]
    login.wrapped_secret_id.write_text(token)
    vault = vault_on(server, login)
    assert "something else" in str(await refused(vault))
    assert server.call("POST", "sys/wrapping/lookup", {"token": token})["data"]["creation_path"]
    await vault.aclose()


async def test_a_new_file_is_enough_to_come_back(server: RealVault) -> None:
    server.put("openai", KEY)
    login = app_role(server, "renew-file")
    login.wrapped_secret_id.write_text("hvs.spent")
    vault = vault_on(server, login)
    await vault.start()
    await refused(vault)
    server.wrap("renew-file", login.wrapped_secret_id)
    await well_again(vault, "openai", KEY)
    assert await _cleared(vault)
    await vault.aclose()


async def test_a_refused_secret_id_is_not_tried_until_vault_locks_the_role(server: RealVault) -> None:
    login = app_role(server, "lockout")
    server.put("openai", KEY)
    vault = vault_on(server, login)
    await key_of(vault)
    secret_id = login._secret_id
    assert secret_id is not None
    server.call("POST", "auth/approle/role/lockout/secret-id/destroy", {"secret_id": secret_id.reveal()})
    server.call("POST", "auth/token/revoke", {"token": own_token(vault)})
    vault.forget("openai")
    before = len(_requests(server, "auth/approle/login"))
    until = time.monotonic() + 5
    await asyncio.sleep(3)  # a younger token would not be replaced
    while time.monotonic() < until:
        await refused(vault)
        await asyncio.sleep(0.05)
    assert len(_requests(server, "auth/approle/login")) - before == 1
    server.wrap("lockout", login.wrapped_secret_id)
    await well_again(vault, "openai", KEY)
    await vault.aclose()


async def test_a_crashed_broker_logs_in_again_with_the_spent_wrapped_secret_id(
    server: RealVault, tmp_path: Path
) -> None:
    server.put("openai", KEY)
    first = app_role(server, "restarted")
    kept = tmp_path / "run" / "vault.secret-id"
    for _ in range(2):  # the first process says no goodbye
        vault = vault_on(server, AppRole(first.role_id, first.wrapped_secret_id, kept=kept))
        assert await key_of(vault) == KEY
        await vault.aclose()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    server.wrap("restarted", first.wrapped_secret_id)  # a new file counts more than what is kept
    last = AppRole(first.role_id, first.wrapped_secret_id, kept=kept)
    before = kept.read_bytes()
    vault = vault_on(server, last)
    assert await key_of(vault) == KEY
    assert kept.read_bytes() != before
    await vault.aclose()


async def test_a_kept_secret_id_of_another_file_or_open_to_others_is_not_used(
    server: RealVault, tmp_path: Path
) -> None:
    server.put("openai", KEY)
    first = app_role(server, "kept-open")
    kept = tmp_path / "vault.secret-id"
    vault = vault_on(server, AppRole(first.role_id, first.wrapped_secret_id, kept=kept))
    await key_of(vault)
    await vault.aclose()
    kept.chmod(0o644)
    vault = vault_on(server, AppRole(first.role_id, first.wrapped_secret_id, kept=kept))
    assert "spent or expired" in str(await refused(vault))
    await vault.aclose()


async def test_a_missing_file_is_named(server: RealVault, tmp_path: Path) -> None:
    vault = vault_on(server, AppRole("role", tmp_path / "none"))
    assert str(tmp_path / "none") in str(await refused(vault))
    await vault.aclose()


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed client certificate. Vault names the identity by its CN, and refuses one without."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def _trust(server: RealVault, certificate: Path) -> None:
    settings = {"certificate": certificate.read_text(), "token_policies": "broker"}
    server.call("POST", "auth/cert/certs/broker", {**settings, "token_ttl": "3s", "token_max_ttl": "1h"})


async def test_a_client_certificate_logs_in_and_renews(server: RealVault, tmp_path: Path) -> None:
    server.put("openai", KEY)
    ours = certificate(tmp_path, "broker")
    _trust(server, ours[0])
    vault = vault_at(cluster(server, ours), Certificate(ours[0], "broker"))
    await vault.start()
    assert await key_of(vault) == KEY
    token = own_token(vault)
    await asyncio.sleep(3.5)
    assert server.alive(token)
    assert vault.trouble() == ""
    await vault.aclose()


async def test_a_replaced_client_certificate_is_used_by_the_next_login(
    server: RealVault, tmp_path: Path
) -> None:
    server.put("openai", KEY)
    ours, theirs = certificate(tmp_path, "broker"), certificate(tmp_path, "stranger")
    _trust(server, ours[0])
    vault = vault_at(cluster(server, theirs), Certificate(theirs[0], "broker"))
    assert "client certificate" in str(await refused(vault))
    for new, old in zip(ours, theirs, strict=True):
        new.replace(old)
    await well_again(vault, "openai", KEY)
    await vault.aclose()


@pytest.mark.parametrize("mount", ["jwt", "kubernetes"])
async def test_a_jwt_logs_in_and_one_that_expired_does_not(
    server: RealVault, tmp_path: Path, mount: str
) -> None:
    server.put("openai", KEY)
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    server.call("POST", f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
    role = {"role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub", "token_policies": "broker"}
    server.call("POST", f"auth/{mount}/role/broker", role)
    file = tmp_path / "token"
    file.write_text(_jwt(key, -3600))
    login = Jwt("broker", file) if mount == "jwt" else Kubernetes("broker", file)
    vault = vault_on(server, login)
    assert file.read_text() not in str(await refused(vault))
    file.write_text(_jwt(key, 300))
    await well_again(vault, "openai", KEY)
    await vault.aclose()


def _jwt(key: Ed25519PrivateKey, seconds: int) -> str:
    now = int(time.time())
    claims = {"sub": "broker", "aud": "vault", "iat": now - 7200, "exp": now + seconds}
    return jwt.encode(claims, key, algorithm="EdDSA")


async def test_the_own_token_is_renewed_at_two_thirds_of_its_life(server: RealVault) -> None:
    vault = vault_on(server, app_role(server, "renewed", life="3s"))
    await vault.start()
    server.put("openai", KEY)
    await key_of(vault)
    token = own_token(vault)
    logins = len(_requests(server, "auth/approle/login"))
    began = time.monotonic()
    before = len(_requests(server, "auth/token/renew-self"))
    await asyncio.sleep(7)
    renewals = len(_requests(server, "auth/token/renew-self")) - before
    assert own_token(vault) == token
    assert len(_requests(server, "auth/approle/login")) == logins
    assert 2 <= renewals <= (time.monotonic() - began) / 2 + 1
    await vault.aclose()


async def test_a_token_at_its_longest_life_is_replaced_in_time(server: RealVault) -> None:
    vault = vault_on(server, app_role(server, "longest", life="2s", longest="4s"))
    await vault.start()
    server.put("openai", KEY)
    await key_of(vault)
    tokens = set()
    until = time.monotonic() + 7
    while time.monotonic() < until:
        vault.forget("openai")
        assert await key_of(vault) == KEY
        tokens.add(own_token(vault))
        await asyncio.sleep(0.1)
    assert 2 <= len(tokens) <= 4
    await vault.aclose()


async def test_at_the_end_the_own_token_is_revoked(server: RealVault) -> None:
    vault = vault_on(server, app_role(server, f"end-{uuid.uuid4().hex}"))
    server.put("openai", KEY)
    await key_of(vault)
    token = own_token(vault)
    assert server.alive(token)
    await vault.aclose()
    assert not server.alive(token)


async def test_a_start_without_vault_does_not_fail_and_comes_back(server: RealVault) -> None:
    server.put("openai", KEY)
    login = app_role(server, "early")
    server.seal()
    vault = vault_on(server, login)
    await vault.start()
    await refused(vault)
    assert "sealed" in vault.trouble()
    await asyncio.to_thread(server.unseal)
    await well_again(vault, "openai", KEY)
    assert await _cleared(vault)
    await vault.aclose()


async def _cleared(vault: VaultKeySource) -> bool:
    for _ in range(100):
        if not vault.trouble():
            return True
        await asyncio.sleep(0.05)
    return False


def _requests(server: RealVault, path: str) -> list[str]:
    return [entry["path"] for entry in server.audited() if entry["path"] == path]
