"""Mint and verify access tokens: EdDSA JWTs (RFC 9068 profile) bound to a certificate (RFC 8705).

Knows: claims and signatures. Must not know: how a token travels, or what policy thinks of it.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey

from broker import strictjson
from broker.errors import BrokerError, Kind
from broker.model.subject import Grant, IssuedToken, Peer, Subject

MAX_TOKEN_BYTES = 4096
_TYPE = "at+jwt"
_ALGORITHM = "EdDSA"
_CACHE_SIZE = 20_000
_HEADER_NAMES = {"alg", "typ", "kid"}


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """The verified claims of one token. Times are unix seconds; `thumbprint` is `cnf.x5t#S256`. Those of one
    token are the same object while they are kept.
    """

    token_id: str
    subject: str
    tenant: str
    scope: tuple[str, ...]
    issued_at: int
    not_before: int
    expires_at: int
    thumbprint: str
    user: str | None
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class DraftedToken:
    """A token that is not signed yet: its claims as JSON, its lifetime in seconds and what it may do."""

    claims: bytes
    token_id: str
    expires_in: int
    scope: tuple[str, ...]

    def issued(self, token: str) -> IssuedToken:
        """`token` is what was made of the claims. Raises BAD_REQUEST for one that is too long."""
        if len(token) > MAX_TOKEN_BYTES:
            raise BrokerError(
                Kind.BAD_REQUEST,
                "The granted scope does not fit into a token of 4 KiB.",
                param="scope",
                remedy="Ask for fewer scopes or use model patterns.",
            )
        return IssuedToken(token, self.token_id, self.expires_in, self.scope)


class TokenSigner:
    """The private half: makes tokens of claims."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = OKPKey.import_key(key)
        self._kid = self._key.thumbprint()

    def sign(self, claims: bytes) -> str:
        """The token with these claims."""
        header = {"alg": _ALGORITHM, "typ": _TYPE, "kid": self._kid}
        with _rfc9864_silenced():
            return jws.serialize_compact(header, claims, self._key, algorithms=[_ALGORITHM])


class TokenVerifier:
    """Drafts tokens of one issuer, audience and Ed25519 key, and verifies those that were signed, also with
    keys that it is told to `trust`. It has the public halves.

    Verification caches by the SHA-256 of the whole token, so that a signature is checked once; expiry,
    binding and revocation are for the caller to check on every call.
    """

    def __init__(self, key: Ed25519PublicKey, issuer: str, audience: str) -> None:
        self._key = OKPKey.import_key(key)
        self._public = key.public_bytes_raw()
        self._kid = self._key.thumbprint()
        self._issuer = issuer
        self._audience = audience
        self._verified: dict[bytes, Claims] = {}
        self._others: dict[str, OKPKey] = {}

    def trust(self, keys: Iterable[bytes]) -> None:
        """From now on tokens of these keys (Ed25519, 32 bytes each) are good, too, and of no others that were
        named before: of the deployment's other brokers, with the same issuer and audience.
        """
        others = [OKPKey.import_key(public_key(key)) for key in keys]
        self._others = {key.thumbprint(): key for key in others}
        self._verified.clear()

    @property
    def public_bytes(self) -> bytes:
        """The 32 bytes of the key."""
        return self._public

    @property
    def issuer(self) -> str:
        return self._issuer

    def public_jwks(self, certification: str | None = None) -> dict[str, object]:
        """The key set of `/.well-known/jwks.json` (RFC 7517): the public half only, and the text that
        certifies it (`tlog.certification`), where there is one. Who does not know that member ignores it.
        """
        public = self._key.as_dict(private=False)
        jwk = {**public, "kid": self._kid, "use": "sig", "alg": _ALGORITHM}
        return {"keys": [jwk if certification is None else {**jwk, "broker_certification": certification}]}

    def drafted(
        self, subject: Subject, peer: Peer, grant: Grant, *, token_id: str, now_seconds: int
    ) -> DraftedToken:
        """A token for what `grant` confers, bound to `peer`'s certificate, which it never outlives."""
        expires_at = min(now_seconds + grant.ttl_seconds, peer.not_after)
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": subject.id,
            "aud": self._audience,
            "client_id": subject.id,
            "tenant": subject.tenant,
            "iat": now_seconds,
            "exp": expires_at,
            "jti": token_id,
            "scope": " ".join(grant.scope),
            "cnf": {"x5t#S256": peer.thumbprint},
        }
        if grant.user is not None:
            claims["user"] = grant.user
        if grant.max_tokens is not None:
            claims["max_tokens"] = grant.max_tokens
        return DraftedToken(orjson.dumps(claims), token_id, expires_at - now_seconds, grant.scope)

    def verify(self, token: str) -> Claims:
        """The claims of a token whose signature, header, issuer and audience are right.

        Raises TOKEN_INVALID. Does not look at expiry, binding or revocation.
        """
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._claims(_payload(self._checked(token)))
            if len(self._verified) >= _CACHE_SIZE:
                self._verified.clear()
            self._verified[digest] = claims
        return claims

    def _checked(self, token: str) -> str:
        if len(token) > MAX_TOKEN_BYTES:
            raise _invalid("longer than 4 KiB")
        header = _json_object(_segment(token, 0))
        if set(header) != _HEADER_NAMES or header["typ"] != _TYPE or header["alg"] != _ALGORITHM:
            raise _invalid("of another kind than this broker issues")
        key = self._key if header["kid"] == self._kid else self._others.get(str(header["kid"]))
        if key is None:
            raise _invalid("signed with a key this broker does not know")
        _segment(token, 2)  # loose base64 would give one token many spellings, and many cache entries
        try:
            with _rfc9864_silenced():
                jws.deserialize_compact(token, key, algorithms=[_ALGORITHM])
        except (JoseError, ValueError):
            raise _invalid("not signed by this broker") from None
        return token

    def _claims(self, body: dict[str, object]) -> Claims:
        if body.get("iss") != self._issuer or body.get("aud") != self._audience:
            raise _invalid("issued for another broker or audience")
        confirmation = body.get("cnf")
        thumbprint = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
        max_tokens = body.get("max_tokens")
        user = body.get("user")
        if not isinstance(max_tokens, int | None) or not isinstance(user, str | None):
            raise _invalid("malformed")
        return Claims(
            token_id=_text(body.get("jti")),
            subject=_text(body.get("sub")),
            tenant=_text(body.get("tenant")),
            scope=tuple(_text(body.get("scope")).split()),
            issued_at=_number(body.get("iat")),
            not_before=_number(body.get("nbf", 0)),
            expires_at=_number(body.get("exp")),
            thumbprint=_text(thumbprint),
            user=user,
            max_tokens=max_tokens,
        )


def public_key(raw: bytes) -> Ed25519PublicKey:
    """Of its 32 bytes."""
    return Ed25519PublicKey.from_public_bytes(raw)


def _payload(token: str) -> dict[str, object]:
    return _json_object(_segment(token, 1))


def _segment(token: str, index: int) -> bytes:
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515, 7.1: header.payload.signature
        raise _invalid("not a JWT")
    part = parts[index]
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _invalid("not a JWT") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise _invalid("not canonical base64url")
    return raw


def _json_object(raw: bytes) -> dict[str, object]:
    try:
        value = strictjson.parse(raw)
    except strictjson.StrictJsonError:
        raise _invalid("not strict JSON inside") from None
    if not isinstance(value, dict):
        raise _invalid("not a JWT")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid("missing a mandatory claim")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid("missing a mandatory claim")
    return value


def _rfc9864_silenced() -> warnings.catch_warnings:
    """RFC 9864 renames EdDSA to Ed25519; deployed verifiers still expect EdDSA, so we keep it, knowingly."""
    return warnings.catch_warnings(action="ignore", category=SecurityWarning)


def _invalid(why: str) -> BrokerError:
    return BrokerError(
        Kind.TOKEN_INVALID,
        f"The bearer token is {why}.",
        remedy="Get a fresh token from POST /oauth/token or TokenService.IssueToken.",
    )
