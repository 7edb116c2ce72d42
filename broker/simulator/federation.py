"""The token endpoint of workload identity federation: an outside JWT in, a short-lived access token out.

Knows: OpenAI's reference "Workload identity token exchange" and RFC 8693: the JSON body; that the subject
token has `kid`, a known `alg`, `iss aud sub exp iat`; that the access token ends with the subject token and
after an hour at most; that a `scope` in the body grants nothing; errors as OpenAI's SDKs read them (401,
`invalid_grant` or `invalid_subject_token`, `error_description`). Must not know: what tokens open.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet, KeySetSerialization

from broker.simulator.organization import Organization
from broker.simulator.reply import Json, dump, ok

PATH = "/oauth/token"
LONGEST_SECONDS = 3600
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_TOKEN_TYPES = frozenset(
    ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
)
_ALGORITHMS = ["RS256", "ES256", "EdDSA", "Ed25519"]
_CLAIMS = ("iss", "aud", "sub", "exp", "iat")
_FIELDS = (
    "grant_type",
    "subject_token",
    "subject_token_type",
    "identity_provider_id",
    "service_account_id",
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """The subject that may act as a service account; `scopes` None: all of its project's API."""

    subject: str
    service_account: str
    project: str
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """An outside issuer that the organization trusts, as its owner would configure it."""

    id: str
    issuer: str
    audience: str
    jwks: Mapping[str, Any] = field(repr=False)
    mapped: Sequence[Mapped] = ()


class _RefusedError(Exception):
    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error


class TokenEndpoint:
    """POST /oauth/token. The mapped service accounts come into being with it."""

    def __init__(self, organization: Organization, providers: Sequence[Provider]) -> None:
        self._organization = organization
        self._providers = {provider.id: provider for provider in providers}
        for mapped in (mapped for provider in providers for mapped in provider.mapped):
            organization.add_account(mapped.project, mapped.subject, "member", mapped.service_account)

    def exchange(self, document: Mapping[str, object]) -> Json:
        """The answer to one request body."""
        try:
            return ok(self._exchanged(document))
        except _RefusedError as error:
            body = {"error": error.error, "error_description": str(error)}
            return Json(error.status, dump(body), ((b"cache-control", b"no-store"),))

    def _exchanged(self, document: Mapping[str, object]) -> dict[str, object]:
        wanted = _texts(document)
        provider = self._providers.get(wanted["identity_provider_id"])
        if provider is None:
            raise _RefusedError(401, "invalid_grant", "No workload identity provider found.")
        claims = _verified(wanted["subject_token"], provider, self._organization.now())
        mapped = _mapped(provider, claims["sub"], wanted["service_account_id"])
        account = self._organization.accounts.get(wanted["service_account_id"])
        if mapped is None or account is None:
            raise _RefusedError(
                401,
                "invalid_grant",
                "No service account mapping found for the provided service_account_id.",
            )
        seconds = int(min(claims["exp"] - self._organization.now(), LONGEST_SECONDS))
        token = self._organization.add_token(account, seconds, mapped.scopes)
        return {
            "access_token": token.value,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": seconds,
        }


def _texts(document: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _FIELDS:
        value = document.get(name)
        if not isinstance(value, str) or not value:
            raise _RefusedError(400, "invalid_request", f"Missing required parameter: {name}")
        found[name] = value
    for name in document:
        if name not in {*_FIELDS, "scope"}:
            raise _RefusedError(400, "invalid_request", f"Unknown parameter: {name}")
    if found["grant_type"] != _GRANT:
        raise _RefusedError(400, "unsupported_grant_type", "Unsupported grant_type.")
    if found["subject_token_type"] not in _TOKEN_TYPES:
        raise _RefusedError(400, "invalid_request", "Unsupported subject_token_type.")
    return found


def _mapped(provider: Provider, subject: str, account: str) -> Mapped | None:
    fitting = (
        mapped
        for mapped in provider.mapped
        if mapped.subject == subject and mapped.service_account == account
    )
    return next(fitting, None)


def _verified(token: str, provider: Provider, now: float) -> dict[str, Any]:
    keys = KeySet.import_key_set(cast(KeySetSerialization, provider.jwks))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # EdDSA is an older name of Ed25519
            read = jwt.decode(token, keys, algorithms=_ALGORITHMS)
    except (JoseError, ValueError):
        raise _unfit("The signature of the subject token could not be verified.") from None
    claims = read.claims
    if "kid" not in read.header or any(claims.get(name) is None for name in _CLAIMS):
        raise _unfit("The subject token lacks a kid or a required claim.")
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims["iss"] != provider.issuer or provider.audience not in audiences:
        raise _unfit("The subject token's issuer or audience is not the provider's.")
    if not isinstance(claims["exp"], int | float) or claims["exp"] <= now:
        raise _unfit("The subject token has expired.")
    return claims


def _unfit(description: str) -> _RefusedError:
    return _RefusedError(401, "invalid_subject_token", description)
