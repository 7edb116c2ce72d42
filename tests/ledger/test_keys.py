"""The log's keys on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from broker.adapters.ledger.keys import LogKeys
from broker.errors import BrokerError


def test_keys_are_created_once_for_their_owner_only(tmp_path: Path) -> None:
    first, again = LogKeys.load_or_create(tmp_path / "keys"), LogKeys.load_or_create(tmp_path / "keys")
    for one, two in ((first.checkpoint, again.checkpoint), (first.record, again.record)):
        assert one.private_bytes_raw() == two.private_bytes_raw()
    assert first.checkpoint.private_bytes_raw() != first.record.private_bytes_raw()
    files = sorted((tmp_path / "keys").iterdir())
    assert [path.name for path in files] == ["checkpoint.pem", "record.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    LogKeys.load_or_create(tmp_path)
    (tmp_path / "record.pem").chmod(0o640)
    with pytest.raises(BrokerError, match="chmod 600"):
        LogKeys.load_or_create(tmp_path)


def test_key_file_of_another_kind_is_refused_without_showing_it(tmp_path: Path) -> None:
    pem = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"not a key", pem):
        path = tmp_path / "checkpoint.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(BrokerError, match="Ed25519") as refused:
            LogKeys.load_or_create(tmp_path)
        assert content.decode() not in str(refused.value)
