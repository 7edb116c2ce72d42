"""The listeners' certificate from a real Vault's PKI: issued, kept, renewed; other names are refused."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from structlog.testing import capture_logs

from broker.adapters.clock import SystemClock
from broker.adapters.vault import (
    PkiRole,
    ServerCertificate,
    ServerCertificateFiles,
    Session,
    certificate_names,
)
from broker.errors import BrokerError, Kind
from broker.listeners.tlsfiles import TlsFiles
from tests.vault.authority import BROKER_ID, SERVER_NAMES, authority, set_up, shorten
from tests.vault.server import RealVault
from tests.vault.setups import JumpingClock, app_role, cluster

pytestmark = pytest.mark.servers

NAMES = certificate_names(BROKER_ID, SERVER_NAMES)


@dataclass
class PkiSetup:
    """A session with what deploy/vault/broker.hcl allows, and where the certificate goes."""

    session: Session
    files: ServerCertificateFiles
    ca: Path
    clock: JumpingClock

    def certificate(
        self, names: tuple[x509.GeneralName, ...] = NAMES, role: str = "broker"
    ) -> ServerCertificate:
        return ServerCertificate(PkiRole(self.session, mount="pki", role=role), self.files, names, self.clock)

    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates(self.files.certificate.read_bytes())[0]


@pytest.fixture
async def scene(server: RealVault, tmp_path: Path) -> AsyncIterator[PkiSetup]:
    set_up(server)
    session = Session(cluster(server), app_role(server, "listeners"), SystemClock())
    await session.start()
    files = ServerCertificateFiles(tmp_path / "tls/server.pem", tmp_path / "tls/server.key")
    yield PkiSetup(session, files, authority(server, tmp_path / "ca.pem"), JumpingClock())
    await session.aclose()


async def test_a_certificate_is_issued_for_a_key_that_stays_here(scene: PkiSetup, server: RealVault) -> None:
    await scene.certificate().ensure()
    leaf = scene.leaf()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical  # for the subject is empty (RFC 5280, 4.2.1.6)
    assert frozenset(names.value) == frozenset(NAMES)
    assert leaf.subject == x509.Name([])
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert timedelta(hours=24) <= life < timedelta(hours=24, minutes=2)
    for file in (scene.files.certificate, scene.files.key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    listeners = TlsFiles(scene.files.certificate, scene.files.key, scene.ca)
    assert listeners.read(datetime.now(UTC)).serial == leaf.serial_number
    asked = [request for request in server.audited() if request["path"].startswith("pki/sign/")][-1]
    key = load_pem_private_key(scene.files.key.read_bytes(), password=None)
    assert (asked["path"], key.public_key()) == ("pki/sign/broker", leaf.public_key())
    assert not [request for request in server.audited() if request["path"] == "pki/issue/broker"]


async def test_a_good_certificate_is_kept_and_vault_is_not_asked(scene: PkiSetup, server: RealVault) -> None:
    await scene.certificate().ensure()
    serial = scene.leaf().serial_number
    server.seal()
    await scene.certificate().ensure()
    assert scene.leaf().serial_number == serial


async def test_without_a_valid_certificate_and_vault_nothing_opens(
    scene: PkiSetup, server: RealVault
) -> None:
    server.seal()
    with pytest.raises(BrokerError) as caught:
        await scene.certificate().ensure()
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert not scene.files.certificate.exists()


@pytest.mark.parametrize("damage", ["missing key", "other key", "other names", "garbage", "expired"])
async def test_what_is_unfit_in_the_files_is_replaced(scene: PkiSetup, tmp_path: Path, damage: str) -> None:
    await scene.certificate().ensure()
    before = scene.leaf().serial_number
    names = NAMES
    if damage == "missing key":
        scene.files.key.unlink()
    elif damage == "other key":
        other = ServerCertificateFiles(tmp_path / "other.pem", scene.files.key)
        await ServerCertificate(
            PkiRole(scene.session, mount="pki", role="broker"), other, NAMES, scene.clock
        ).ensure()
    elif damage == "other names":
        names = NAMES[:2]
    elif damage == "garbage":
        scene.files.certificate.write_bytes(b"garbage")
    else:
        scene.clock.jump_seconds = 86_400 * 2
    await scene.certificate(names).ensure()
    assert scene.leaf().serial_number != before
    TlsFiles(scene.files.certificate, scene.files.key, scene.ca).read(datetime.now(UTC))


@pytest.mark.parametrize(
    "names",
    [
        certificate_names("spiffe://dev.broker/ns/demo/sa/operator", ()),
        certificate_names("spiffe://other.example/broker", ()),
        certificate_names(BROKER_ID, ("openai.example",)),
        certificate_names(BROKER_ID, ("*.localhost",)),
    ],
    ids=lambda names: str(names[-1].value),
)
async def test_names_that_the_role_does_not_allow_are_refused(
    scene: PkiSetup, names: tuple[x509.GeneralName, ...]
) -> None:
    with pytest.raises(BrokerError) as caught:
        await scene.certificate(names).ensure()
    assert caught.value.message == "Vault rejects what it is asked at pki/sign/broker (400)."
    assert "vault.server_names" in caught.value.remedy
    assert not scene.files.certificate.exists()


async def test_another_role_is_forbidden(scene: PkiSetup) -> None:
    with pytest.raises(BrokerError, match="Vault does not let the broker use pki/sign/broker-service"):
        await scene.certificate(role="broker-service").ensure()


async def test_a_certificate_is_renewed_at_two_thirds_of_its_life(scene: PkiSetup, server: RealVault) -> None:
    shorten(server, "4s")
    certificate = scene.certificate()
    await certificate.ensure()
    first = scene.leaf()
    scene.clock.jump_seconds = -25.0
    certificate.start()
    begun = datetime.now(UTC) - timedelta(seconds=25)
    due = first.not_valid_before_utc + (first.not_valid_after_utc - first.not_valid_before_utc) * 2 / 3
    await asyncio.sleep(max(0.0, (due - begun).total_seconds() - 0.5))
    assert scene.leaf().serial_number == first.serial_number
    await asyncio.sleep(1.5)
    assert scene.leaf().serial_number != first.serial_number
    await certificate.aclose()


async def test_a_renewal_that_fails_is_told_of_and_tried_again(
    scene: PkiSetup, server: RealVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.adapters.vault.server_certificate.AGAIN_SECONDS", 0.5)
    certificate = scene.certificate()
    await certificate.ensure()
    before = scene.leaf()
    scene.clock.jump_seconds = 86_400 * 0.7
    server.seal()
    with capture_logs() as said:
        certificate.start()
        await asyncio.sleep(1.2)
        assert scene.leaf().serial_number == before.serial_number
        await asyncio.to_thread(server.unseal)
        await asyncio.sleep(4)
    assert scene.leaf().serial_number != before.serial_number
    await certificate.aclose()
    failed = [line for line in said if line["event"] == "certificate_not_renewed"]
    assert failed
    assert failed[0]["remedy"]
    assert failed[0]["old_one_ends"] == before.not_valid_after_utc.isoformat()
    assert "certificate_issued" in [line["event"] for line in said]
