"""The record key: what libsodium signs is what RFC 8032 says, and what OpenSSL would sign and accepts."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from broker.tlog.entry import MAX_ENTRY_BYTES
from broker.tlog.recordkey import RecordSigner, RecordVerifier

# RFC 8032, 7.1, TEST 1 to 3: secret key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def _signer(seed: bytes) -> RecordSigner:
    return RecordSigner(Ed25519PrivateKey.from_private_bytes(seed))


@pytest.mark.parametrize(("seed", "message", "signature"), VECTORS)
def test_the_vectors_of_rfc_8032(seed: str, message: str, signature: str) -> None:
    assert _signer(bytes.fromhex(seed)).sign(bytes.fromhex(message)).hex() == signature


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=MAX_ENTRY_BYTES))
def test_two_libraries_make_the_same_signature_and_accept_it(seed: bytes, message: bytes) -> None:
    signer, openssl = _signer(seed), Ed25519PrivateKey.from_private_bytes(seed)
    signature = signer.sign(message)
    assert signature == openssl.sign(message)
    verifier = RecordVerifier(openssl.public_key().public_bytes_raw())
    assert (verifier.kid, verifier.public_key) == (signer.kid, signer.public_key)
    assert verifier.verifies(signature, message)
    assert not verifier.verifies(signature, message + b"\0")


def test_a_signer_shows_nothing_of_its_key() -> None:
    seed = b"a seed that nobody should see..."
    shown = repr(_signer(seed))
    assert seed.decode() not in shown
    assert seed.hex() not in shown
