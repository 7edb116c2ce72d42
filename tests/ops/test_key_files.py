"""Key files: made once, for their owner only, never replaced, refused where others may read them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.adapters.keyfile import create_private, load_or_create_ed25519, load_or_create_secret
from broker.errors import BrokerError, Kind


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes_raw()


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "token.pem"
    first = load_or_create_ed25519(path)
    assert raw(load_or_create_ed25519(path)) == raw(first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["token.pem"]


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "commitment.key"
    first = load_or_create_secret(path, 32)
    assert load_or_create_secret(path, 32) == first
    assert len(first) == 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o700])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token.pem"
    load_or_create_ed25519(path)
    path.chmod(mode)
    error = refused(path)
    assert "token.pem is open to others" in error.message
    assert "chmod 600" in error.remedy


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    create_private(tmp_path / "token.pem", pem)
    refused(tmp_path / "token.pem")


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_refused_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token.pem"
    create_private(path, content)
    refused(path)
    assert path.read_bytes() == content


def test_a_secret_of_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "commitment.key"
    create_private(path, b"short")
    with pytest.raises(BrokerError, match="does not hold 32 bytes") as caught:
        load_or_create_secret(path, 32)
    assert "short" not in str(caught.value)


def test_a_key_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "commitment.key"
    create_private(path, b"first")
    create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["commitment.key"]


def refused(path: Path) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        load_or_create_ed25519(path)
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert caught.value.remedy
    return caught.value
