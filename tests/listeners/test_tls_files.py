"""The listeners' files: what is fit to be presented, and what is refused, by name and with a remedy."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from structlog.testing import capture_logs

from broker.adapters.clock import SystemClock
from broker.adapters.pki import DevPki
from broker.errors import BrokerError, Kind
from broker.listeners.tlsfiles import TlsFiles, TlsInUse


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """A good set, of this test's own."""
    pki = DevPki.load_or_create(tmp_path / "pki")
    server = pki.server()
    return TlsFiles(server.cert, server.key, pki.ca)


def _renew(files: TlsFiles) -> None:
    """Another certificate and key by the same CA, written as by an operator: one file after the other."""
    files.certificate.unlink()
    DevPki.load_or_create(files.certificate.parent).server()


def _write(path: Path, content: bytes) -> bytes:
    """Replaces a file's content; the one it had."""
    kept = path.read_bytes()
    path.write_bytes(content)
    return kept


def _encrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def _foreign_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


PEM_OF_NOTHING = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
BREAKAGES: list[tuple[str, Callable[[], bytes], str]] = [
    ("certificate", lambda: b"", "holds no certificate in PEM"),
    (
        "certificate",
        lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "holds no certificate",
    ),
    ("key", lambda: b"garbage", "holds no plain private key in PEM"),
    ("key", _encrypted, "holds no plain private key in PEM"),
    ("key", _foreign_key, "is not the key of the certificate"),
    ("client_ca", lambda: b"\n", "holds no CA certificate in PEM"),
]


@pytest.mark.parametrize(("name", "content", "said"), BREAKAGES)
async def test_a_broken_replacement_is_refused_loudly_and_the_old_one_stays(
    files: TlsFiles, name: str, content: Callable[[], bytes], said: str
) -> None:
    in_use = TlsInUse(files, SystemClock())
    good = in_use.material
    path: Path = getattr(files, name)
    kept = _write(path, content())
    with capture_logs() as log:
        for _ in range(5):
            await in_use.poll()
        assert in_use.material is good
        assert said in in_use.problem()
        assert str(path) in in_use.problem()
        _write(path, kept)
        for _ in range(3):
            await in_use.poll()
    assert [line["event"] for line in log] == ["certificate_refused", "certificate_loaded"]
    assert log[0]["remedy"]
    assert in_use.problem() == ""
    _write(path, content())
    with pytest.raises(BrokerError, match=said) as caught:
        files.read(datetime.now(UTC))
    assert caught.value.kind is Kind.CERTIFICATE_INVALID


async def test_an_expired_or_missing_file_is_refused(files: TlsFiles) -> None:
    for now in (datetime.now(UTC) + timedelta(days=2), datetime.now(UTC) - timedelta(days=2)):
        with pytest.raises(BrokerError, match="is not valid at this time"):
            files.read(now)
    files.key.unlink()
    with pytest.raises(BrokerError, match=r"cannot be read \(No such file"):
        files.read(datetime.now(UTC))


async def test_replaced_files_are_taken_up_within_a_second(files: TlsFiles) -> None:
    in_use = TlsInUse(files, SystemClock())
    in_use.start()
    before = in_use.material
    await asyncio.to_thread(_renew, files)
    await asyncio.sleep(1)
    assert in_use.material.serial != before.serial
    assert in_use.material.chain == files.certificate.read_bytes()
    await in_use.aclose()


async def test_a_link_that_is_turned_to_another_folder_is_noticed(files: TlsFiles, tmp_path: Path) -> None:
    """As Kubernetes replaces a secret's files: all at once, behind a symbolic link."""
    one = files.certificate.parent
    other = tmp_path / "other"
    shutil.copytree(one, other)
    (other / "server.pem").unlink()
    DevPki.load_or_create(other).server()
    link = tmp_path / "now"
    link.symlink_to(one)
    in_use = TlsInUse(TlsFiles(link / "server.pem", link / "server.key", link / "ca.pem"), SystemClock())
    before = in_use.material
    (tmp_path / "next").symlink_to(other)
    (tmp_path / "next").rename(link)
    for _ in range(2):
        await in_use.poll()
    assert in_use.material.serial != before.serial


async def test_files_that_are_still_being_replaced_are_left_alone(files: TlsFiles) -> None:
    in_use = TlsInUse(files, SystemClock())
    with capture_logs() as log:
        files.key.write_bytes(_foreign_key())  # the certificate that belongs to it comes a moment later
        await in_use.poll()
        _renew(files)
        for _ in range(2):
            await in_use.poll()
    assert [line["event"] for line in log] == ["certificate_loaded"]


def test_the_key_is_in_no_representation(files: TlsFiles) -> None:
    material = files.read(datetime.now(UTC))
    assert "PRIVATE KEY" not in repr(material)
    assert "PRIVATE KEY" in material.key.decode()
