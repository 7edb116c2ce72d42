"""Transit as the certifier: what it signs verifies, and what it cannot be trusted with is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from operator import methodcaller
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from broker.adapters.clock import SystemClock
from broker.adapters.vault import Session, TransitCertifier
from broker.adapters.vault.errors import VaultError, VaultErrorCode
from broker.errors import BrokerError, Kind
from broker.tlog.certifier import parse_certifier
from tests.vault.authority import certifier, rotate, set_up
from tests.vault.server import RealVault
from tests.vault.setups import app_role, cluster

pytestmark = pytest.mark.servers


@pytest.fixture
async def session(server: RealVault) -> AsyncIterator[Session]:
    """Logged in with no more than deploy/vault/broker.hcl allows."""
    set_up(server)
    session = Session(cluster(server), app_role(server, "certifying"), SystemClock())
    await session.start()
    yield session
    await session.aclose()


async def _refused(certifying: TransitCertifier) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await certifying.sign(b"x")
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert caught.value.remedy
    return caught.value


async def test_what_transit_signs_verifies_with_what_the_operator_fetched(
    session: Session, server: RealVault, tmp_path: Path
) -> None:
    signed = await TransitCertifier(session).sign(b"message")
    Ed25519PublicKey.from_public_bytes(signed.public_key).verify(signed.signature, b"message")
    trusted = parse_certifier(certifier(server, tmp_path / "transit.json").read_bytes())
    assert trusted.signed(b"message", signed.signature)
    assert not trusted.signed(b"another", signed.signature)
    assert trusted.public_keys[signed.key_version - 1] == signed.public_key


async def test_a_rotation_is_taken_up_and_older_signatures_keep_verifying(
    session: Session, server: RealVault, tmp_path: Path
) -> None:
    certifying = TransitCertifier(session)
    before = await certifying.sign(b"before")
    rotate(server)
    after = await certifying.sign(b"after")
    assert after.key_version == before.key_version + 1
    trusted = parse_certifier(certifier(server, tmp_path / "transit.json").read_bytes())
    assert trusted.signed(b"before", before.signature)
    assert trusted.signed(b"after", after.signature)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "ed25519", "exportable": True},
        {"type": "ed25519", "allow_plaintext_backup": True},
        {"type": "ed25519", "derived": True},
        {"type": "ecdsa-p256"},
        {"type": "aes256-gcm96"},
    ],
    ids=str,
)
async def test_a_key_that_could_leave_vault_or_cannot_certify_is_refused(
    session: Session, server: RealVault, settings: dict[str, object]
) -> None:
    name = "broker-" + "-".join(f"{value}" for value in settings.values()).lower()
    server.call("POST", f"transit/keys/{name}", settings)
    grant = f'path "transit/keys/{name}" {{ capabilities = ["read"] }}'
    server.call("PUT", "sys/policies/acl/broker", {"policy": grant})
    error = await _refused(TransitCertifier(session, key=name))
    assert error.message == f"transit/keys/{name} is not an Ed25519 key that cannot leave Vault."
    assert "exportable" in error.remedy


async def test_the_policy_allows_to_sign_and_nothing_else(session: Session, server: RealVault) -> None:
    """Least privilege, proven by a broker's own token."""
    for method, path in (
        ("post", "transit/keys/broker/rotate"),
        ("post", "transit/keys/broker/config"),
        ("delete", "transit/keys/broker"),
        ("get", "transit/export/signing-key/broker"),
        ("get", "transit/backup/broker"),
        ("post", "transit/keys/another"),
        ("post", "transit/sign/another"),
        ("get", "transit/keys"),
        ("post", "pki/issue/broker"),
        ("post", "pki/sign/broker-service"),
        ("post", "pki/sign-verbatim/broker"),
        ("post", "pki/root/rotate/internal"),
    ):
        refusal = await session.ask(methodcaller("request", method, f"/v1/{path}"))
        assert isinstance(refusal, VaultError)
        assert refusal.cause is VaultErrorCode.FORBIDDEN, (method, path)


async def test_an_absent_key_or_mount_is_named_with_what_to_try(session: Session, server: RealVault) -> None:
    grant = 'path "+/keys/absent" { capabilities = ["read"] }'
    server.call("PUT", "sys/policies/acl/broker", {"policy": grant})
    error = await _refused(TransitCertifier(session, key="absent"))
    assert error.message == "Vault has no key at transit/keys/absent."
    assert error.remedy == "Make it: vault write -f transit/keys/absent type=ed25519"
    assert "elsewhere/keys/broker" in (await _refused(TransitCertifier(session, mount="elsewhere"))).message


async def test_a_vault_that_is_sealed_frozen_or_dead_refuses_in_time(
    session: Session, server: RealVault
) -> None:
    certifying = TransitCertifier(session)
    await certifying.sign(b"x")
    for trouble in (server.seal, server.freeze, server.kill):
        trouble()
        began = asyncio.get_running_loop().time()
        await _refused(certifying)
        assert asyncio.get_running_loop().time() - began < 2.1
