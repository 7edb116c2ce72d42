"""An outside issuer of JWTs, such as SPIRE or a Kubernetes cluster: its key, its JWKS, its tokens."""

from __future__ import annotations

import time
import warnings

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey

from broker.simulator import Mapped, Provider

ISSUER = "https://issuer.example.org"
AUDIENCE = "https://api.openai.com/v1"
SUBJECT = "spiffe://example.org/ns/broker/sa/broker"


def new_key(algorithm: str) -> Key:
    """A key that signs with `algorithm`, with a kid."""
    options: KeyParameters = {"kid": f"key-{algorithm}"}
    if algorithm == "RS256":
        return RSAKey.generate_key(2048, options)
    return (
        ECKey.generate_key("P-256", options)
        if algorithm == "ES256"
        else OKPKey.generate_key("Ed25519", options)
    )


class Issuer:
    """Signs subject tokens with one key."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self._algorithm = algorithm
        self.key = new_key(algorithm)

    def provider(self, *mapped: Mapped, provider_id: str = "idp_one") -> Provider:
        """What the organization's owner would configure of this issuer."""
        return Provider(provider_id, ISSUER, AUDIENCE, {"keys": [self.key.as_dict(private=False)]}, mapped)

    def token(self, seconds: int = 300, **claims: object) -> str:
        """A subject token good for `seconds` from now; `claims` are put over the usual ones."""
        now = int(time.time())
        usual = {"iss": ISSUER, "aud": [AUDIENCE], "sub": SUBJECT, "iat": now, "exp": now + seconds}
        header = {"alg": self._algorithm, "kid": self.key.kid}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, {**usual, **claims}, self.key, algorithms=[self._algorithm])
