"""Whose tokens are good here, too: what a folder of public keys may say, and what it may not."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.adapters.tokenkeys import FollowedTokenKeys, TokenKeyFiles
from broker.identity.token import TokenVerifier
from broker.tlog.certification import Certification, KeyUse, Statement
from tests.ledger.support import RealClock

ISSUER = "https://broker.example"
OTHER, CERTIFIER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
RAW = OTHER.public_key().public_bytes_raw()


def published(key: Ed25519PrivateKey = OTHER, certification: str | None = None) -> dict[str, Any]:
    """What the broker with this key publishes."""
    return TokenVerifier(key.public_key(), ISSUER, "broker").public_jwks(certification)


def certified(
    key: Ed25519PrivateKey = OTHER, use: KeyUse = KeyUse.TOKEN, by: Ed25519PrivateKey = CERTIFIER
) -> str:
    statement = Statement(use, key.public_key().public_bytes_raw(), "other.example/log", "i", 1)
    return str(Certification(statement, 1, by.sign(statement.message())))


def pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


class Folder:
    """A folder of keys, and what is said of its files."""

    def __init__(self, path: Path, *, by: bool = False) -> None:
        self.path = path / "keys"
        self.path.mkdir()
        self.certifier = path / "certifier.pem"
        self.certifier.write_bytes(pem(CERTIFIER))
        self.files = TokenKeyFiles(self.path, self.certifier if by else None)
        self.refused: dict[str, str] = {}

    def put(self, name: str, content: bytes | dict[str, Any]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self.path / name).write_bytes(data)

    def read(self) -> frozenset[bytes]:
        return self.files.read(lambda path, why: self.refused.update({path.name: why}))


def test_what_a_broker_publishes_and_what_openssl_writes_is_taken(tmp_path: Path) -> None:
    folder, another = Folder(tmp_path), Ed25519PrivateKey.generate()
    folder.put("a.json", published())
    folder.put("b.pem", pem(another))
    folder.put("notes.txt", b"whatever")
    assert folder.read() == {RAW, another.public_key().public_bytes_raw()}
    assert folder.refused == {}


def _changed(**members: Any) -> dict[str, Any]:
    [key] = published()["keys"]
    return {"keys": [{name: value for name, value in {**key, **members}.items() if value is not None}]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "no JWK set"),
        ({"keys": []}, "no JWK set"),
        (_changed(kid="other"), "thumbprint"),
        (_changed(kid=None), "thumbprint"),
        (_changed(x="AAAA"), "thumbprint"),
        (_changed(x=None), "thumbprint"),
        (_changed(crv="X25519"), "not Ed25519"),
        (_changed(kty="oct", k="c2VjcmV0"), "not Ed25519"),
        (_changed(use="enc"), "not Ed25519"),
        (_changed(d="AAAA"), "private key"),
        (b" " * 70_000, "longer"),
    ],
)
def test_a_file_with_anything_else_gives_no_key_and_the_others_do(
    tmp_path: Path, content: bytes | dict[str, Any], why: str
) -> None:
    folder = Folder(tmp_path)
    folder.put("bad.json", content)
    folder.put("good.json", published())
    assert folder.read() == {RAW}
    assert why in folder.refused["bad.json"]


def test_a_key_of_another_algorithm_cannot_sign_tokens(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.put("ec.pem", pem(generate_private_key(SECP256R1())))
    assert folder.read() == frozenset()
    assert "not Ed25519" in folder.refused["ec.pem"]


@pytest.mark.parametrize(
    ("certification", "why"),
    [
        (None, "without"),
        (certified(by=Ed25519PrivateKey.generate()), "has not signed"),
        (certified(Ed25519PrivateKey.generate()), "another key"),
        (certified(use=KeyUse.RECORD), "another use"),
        (certified(use=KeyUse.CHECKPOINT), "another use"),
        ("{}", "certification"),
    ],
)
def test_who_can_write_into_the_folder_cannot_add_a_key_that_the_certifier_has_not_signed(
    tmp_path: Path, certification: str | None, why: str
) -> None:
    folder = Folder(tmp_path, by=True)
    folder.put("thief.json", published(certification=certification))
    folder.put("thief.pem", pem(OTHER))
    assert folder.read() == frozenset()
    assert why in folder.refused["thief.json"]
    assert "certification" in folder.refused["thief.pem"]
    folder.put("good.json", published(certification=certified()))
    assert folder.read() == {RAW}


def test_a_certifier_that_cannot_be_read_certifies_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path, by=True)
    folder.put("good.json", published(certification=certified()))
    folder.certifier.write_bytes(b"no key")
    assert folder.read() == frozenset()
    assert folder.refused.keys() == {"certifier.pem"}


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_key_that_is_added_counts_and_one_that_is_withdrawn_does_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    told: list[frozenset[bytes]] = []
    followed = FollowedTokenKeys(folder.files, RealClock(), told.append)
    await followed.open()
    assert told == [frozenset()]
    folder.put("a.json", published())
    await _until(lambda: told[-1] == {RAW})
    (folder.path / "a.json").unlink()
    await _until(lambda: told[-1] == frozenset())
    folder.put("a.json", published())
    await _until(lambda: told[-1] == {RAW})
    (folder.path / "a.json").unlink()
    folder.path.rmdir()
    await _until(lambda: told[-1] == frozenset())
    await followed.aclose()


async def test_a_pipe_and_a_link_to_nowhere_keep_no_key_and_take_none(tmp_path: Path) -> None:
    """Who can write into the folder could otherwise have a withdrawn key believed for ever, or all others
    forgotten.
    """
    folder = Folder(tmp_path)
    told: list[frozenset[bytes]] = []
    followed = FollowedTokenKeys(folder.files, RealClock(), told.append)
    folder.put("a.json", published())
    await followed.open()
    os.mkfifo(folder.path / "b.json")
    (folder.path / "c.json").symlink_to("nowhere")
    (folder.path / "d.json").mkdir()
    folder.put("e.pem", pem(another := Ed25519PrivateKey.generate()))
    await _until(lambda: told[-1] == {RAW, another.public_key().public_bytes_raw()})
    (folder.path / "a.json").unlink()
    await _until(lambda: told[-1] == {another.public_key().public_bytes_raw()})
    assert frozenset() not in told
    await followed.aclose()
