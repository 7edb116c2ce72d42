"""Commitments: bound to user, purpose and content; useless without the master secret."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from broker.tlog import base64s
from broker.tlog.commitment import Committer

MASTER = bytes(range(32))


def test_it_is_hmac_under_an_hkdf_key_as_an_independent_implementation_computes_it() -> None:
    info = b"request\x00user:alice"
    key = HKDF(hashes.SHA256(), 32, salt=b"broker/commitment/v1", info=info).derive(MASTER)
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(b"content")
    assert Committer(MASTER).commit("alice", "request", b"content") == base64s.to_url(mac.finalize())


def test_a_guessed_prompt_cannot_be_confirmed_without_the_right_user_purpose_and_secret() -> None:
    committer = Committer(MASTER)
    commitments = {
        committer.commit("alice", "request", b"hi"),
        committer.commit("bob", "request", b"hi"),
        committer.commit("alice", "response", b"hi"),
        committer.commit("alice", "request", b"hi "),
        committer.commit(None, "request", b"hi"),
        committer.commit("", "request", b"hi"),
        Committer(bytes(32)).commit("alice", "request", b"hi"),
    }
    assert len(commitments) == 7
    assert all(len(commitment) == 43 for commitment in commitments)


def test_the_master_secret_is_in_no_repr_and_a_short_one_is_refused() -> None:
    assert repr(Committer(MASTER)) == "Committer(…)"
    with pytest.raises(ValueError, match="32 bytes"):
        Committer(bytes(31))
