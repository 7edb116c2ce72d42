"""Tokens: what we mint we accept, and nothing else."""

from __future__ import annotations

import base64
import json
import warnings

import jwt as another_library
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.identity.authentication import Authentication
from broker.identity.revocation import RevocationSet
from broker.identity.token import TokenSigner, TokenVerifier
from broker.model.subject import Grant, IssuedToken, Peer, Subject

KEY = Ed25519PrivateKey.generate()
PEER = Peer("spiffe://dev.broker/ns/demo/sa/assistant", "ab" * 32, 0, 10_000)
THIEF = Peer("spiffe://dev.broker/ns/demo/sa/assistant", "cd" * 32, 0, 10_000)
SUBJECT = Subject(PEER.spiffe_id, "demo")
NOW = 1_000


class Issuer(TokenVerifier):
    """What drafts and verifies, and what signs."""

    def __init__(self, key: Ed25519PrivateKey, issuer: str, audience: str) -> None:
        super().__init__(key.public_key(), issuer, audience)
        self._signer = TokenSigner(key)

    def mint(self, grant: Grant, *, token_id: str, now_seconds: int) -> IssuedToken:
        drafted = self.drafted(SUBJECT, PEER, grant, token_id=token_id, now_seconds=now_seconds)
        return drafted.issued(self._signer.sign(drafted.claims))


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(KEY, "https://broker.example", "broker")


def minted(issuer: Issuer, ttl: int = 300) -> str:
    grant = Grant(("chat:gpt-4o",), ttl, user="alice", max_tokens=64)
    return issuer.mint(grant, token_id="tok_1", now_seconds=NOW).token


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_claims_survive_the_journey(issuer: Issuer) -> None:
    claims = issuer.verify(minted(issuer))
    assert (claims.subject, claims.scope, claims.user, claims.max_tokens) == (
        PEER.spiffe_id,
        ("chat:gpt-4o",),
        "alice",
        64,
    )
    assert claims.expires_at == NOW + 300
    assert claims.thumbprint == PEER.thumbprint


def test_another_library_verifies_our_tokens(issuer: Issuer) -> None:
    public = another_library.PyJWK(issuer.public_jwks()["keys"][0])  # type: ignore[index]
    options = {"verify_exp": False, "verify_iat": False}
    with warnings.catch_warnings():
        claims = another_library.decode(
            minted(issuer),
            public,
            algorithms=["EdDSA"],
            audience="broker",
            options=options,  # type: ignore[arg-type]
        )
    assert claims["cnf"] == {"x5t#S256": PEER.thumbprint}


def test_token_never_outlives_its_certificate(issuer: Issuer) -> None:
    token = issuer.mint(Grant(("chat",), 3600), token_id="t", now_seconds=9_900)
    assert token.expires_in == 100


def signed(issuer: Issuer, **claims: object) -> str:
    """A token of this broker with these claims put into what it would say."""
    header, body, _ = minted(issuer).split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    text = f"{header}.{encoded({**said, **claims})}"
    return f"{text}.{base64.urlsafe_b64encode(KEY.sign(text.encode())).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("claim", "offset", "good"),
    [("nbf", 31, False), ("nbf", 30, True), ("nbf", -9, True), ("iat", 31, False), ("exp", 0, False)],
)
def test_a_token_counts_within_its_times_only(issuer: Issuer, claim: str, offset: int, good: bool) -> None:
    """`nbf` was not looked at (RFC 7519, 4.1.5). Clocks may differ by 30 s."""
    judge = Authentication(issuer, RevocationSet())
    token = signed(issuer, **{claim: NOW + offset})
    if good:
        assert judge.authenticate(PEER, token, NOW).subject == SUBJECT
    else:
        with pytest.raises(BrokerError) as caught:
            judge.authenticate(PEER, token, NOW)
        assert caught.value.kind in (Kind.TOKEN_INVALID, Kind.TOKEN_EXPIRED)


@pytest.mark.parametrize("value", ["1", 1.5, True, None, [], {}])
def test_a_time_that_is_no_integer_makes_a_token_invalid(issuer: Issuer, value: object) -> None:
    for claim in ("nbf", "iat", "exp"):
        with pytest.raises(BrokerError) as caught:
            issuer.verify(signed(issuer, **{claim: value}))
        assert caught.value.kind is Kind.TOKEN_INVALID


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "at+jwt", "kid": "KID"},
        {"alg": "HS256", "typ": "at+jwt", "kid": "KID"},
        {"alg": "EdDSA", "typ": "JWT", "kid": "KID"},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "KID", "jku": "https://evil.example/jwks"},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "KID", "jwk": {"kty": "OKP"}},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "KID", "x5u": "https://evil.example"},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "KID", "crit": ["exp"]},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "other"},
        {"alg": "EdDSA", "typ": "at+jwt"},
    ],
)
def test_token_with_a_foreign_header_is_refused(issuer: Issuer, header: dict[str, object]) -> None:
    keys = issuer.public_jwks()["keys"]
    assert isinstance(keys, list)
    header = {name: keys[0]["kid"] if value == "KID" else value for name, value in header.items()}
    _, payload, _ = minted(issuer).split(".")
    signature = KEY.sign(f"{encoded(header)}.{payload}".encode())
    forged = f"{encoded(header)}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(BrokerError) as refused:
        issuer.verify(forged)
    assert refused.value.kind is Kind.TOKEN_INVALID


@given(st.data())
def test_forged_token_is_refused(data: st.DataObject) -> None:
    issuer = Issuer(KEY, "https://broker.example", "broker")
    token = minted(issuer)
    position = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCDEFabcdef0123456789-_=.+/ "))
    forged = token[:position] + letter + token[position + 1 :]
    if forged != token:
        with pytest.raises(BrokerError):
            issuer.verify(forged)


def test_token_of_another_broker_is_refused(issuer: Issuer) -> None:
    for other in (
        Issuer(Ed25519PrivateKey.generate(), "https://broker.example", "broker"),
        Issuer(KEY, "https://other.example", "broker"),
        Issuer(KEY, "https://broker.example", "another"),
    ):
        with pytest.raises(BrokerError):
            issuer.verify(minted(other))


def refusal(issuer: Issuer, peer: Peer, token: str | None, now: int, revoked: bool = False) -> Kind:
    revocations = RevocationSet()
    if revoked:
        revocations.revoke_token("tok_1", NOW + 300)
    with pytest.raises(BrokerError) as refused:
        Authentication(issuer, revocations).authenticate(peer, token, now)
    return refused.value.kind


def test_each_reason_to_refuse_a_token_has_its_name(issuer: Issuer) -> None:
    token = minted(issuer)
    assert refusal(issuer, PEER, None, NOW) is Kind.TOKEN_MISSING
    assert refusal(issuer, PEER, "sk-not-a-token", NOW) is Kind.TOKEN_INVALID
    assert refusal(issuer, PEER, token, NOW + 300) is Kind.TOKEN_EXPIRED
    assert refusal(issuer, PEER, token, NOW - 31) is Kind.TOKEN_INVALID
    assert refusal(issuer, PEER, token, NOW, revoked=True) is Kind.TOKEN_REVOKED
    assert refusal(issuer, THIEF, token, NOW) is Kind.TOKEN_NOT_YOURS


def test_a_token_that_may_be_revoked_unheard_is_refused_and_may_come_again(issuer: Issuer) -> None:
    unheard = ["nothing was heard"]
    revocations = RevocationSet(unheard=lambda: "".join(unheard))
    judge, token = Authentication(issuer, revocations), minted(issuer)
    with pytest.raises(BrokerError, match="nothing was heard") as refused:
        judge.authenticate(PEER, token, NOW)
    assert (refused.value.kind, refused.value.retry_after) == (Kind.STATE_UNAVAILABLE, 1.0)
    unheard.clear()
    assert judge.authenticate(PEER, token, NOW).token_id == "tok_1"


def test_a_token_of_a_broker_that_is_trusted_is_good_until_it_is_not(issuer: Issuer) -> None:
    other = Issuer(Ed25519PrivateKey.generate(), "https://broker.example", "broker")
    elsewhere = Issuer(Ed25519PrivateKey.generate(), "https://elsewhere.example", "broker")
    keys = [other.public_bytes, elsewhere.public_bytes]
    issuer.trust(keys)
    assert issuer.verify(minted(other)).user == "alice"
    assert issuer.verify(minted(issuer)).user == "alice"
    with pytest.raises(BrokerError, match="another broker"):
        issuer.verify(minted(elsewhere))
    issuer.trust(keys[1:])
    with pytest.raises(BrokerError, match="does not know"):
        issuer.verify(minted(other))


def test_a_trusted_key_cannot_sign_in_the_name_of_another(issuer: Issuer) -> None:
    """The signature is checked with the key that the header names, and with no other."""
    other = Issuer(Ed25519PrivateKey.generate(), "https://broker.example", "broker")
    issuer.trust([other.public_bytes])
    [own], [theirs] = (minted(each).split(".")[:1] for each in (issuer, other))
    for header, by in ((own, other), (theirs, issuer)):
        _, claims, signature = minted(by).split(".")
        with pytest.raises(BrokerError) as refused:
            issuer.verify(f"{header}.{claims}.{signature}")
        assert refused.value.kind is Kind.TOKEN_INVALID


def test_a_token_does_not_show_itself(issuer: Issuer) -> None:
    issued = issuer.mint(Grant(("chat",), 60), token_id="t", now_seconds=NOW)
    assert issued.token not in repr(issued)


def test_a_revocation_is_remembered_as_long_as_its_token_could_live() -> None:
    revocations = RevocationSet()
    revocations.revoke_token("tok_1", NOW + 300)
    revocations.forget_expired(NOW + 300)
    assert revocations.has_token("tok_1")
    revocations.forget_expired(NOW + 400)
    assert not revocations.has_token("tok_1")
