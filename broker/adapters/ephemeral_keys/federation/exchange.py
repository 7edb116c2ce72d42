"""The exchange of a subject token for an access token (RFC 8693) at OpenAI's token endpoint.

Knows: OpenAI's reference "Workload identity token exchange": a JSON body, `identity_provider_id` and
`service_account_id`; the errors `invalid_grant` and `invalid_subject_token` that its SDKs know.
Must not know: where subject tokens come from, how long an access token is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from broker.adapters.ephemeral_keys import (
    ErrorCode,
    Issued,
    JsonHttpClient,
    JsonResponse,
    SourceError,
    refused,
)
from broker.model.secret import Secret
from broker.model.units import SECONDS_PER_DAY

WHO = "OpenAI's token endpoint"
LONGEST_SECONDS = float(SECONDS_PER_DAY)
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type, not a token
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{8,16384}\Z")
_REMEDIES = {
    "invalid_grant": "Check identity_provider_id and service_account_id, and the mapping of the broker's "
    "subject to that service account at OpenAI.",
    "invalid_subject_token": "Check that the subject token's issuer, audience and keys are those of the "
    "workload identity provider at OpenAI.",
}
_UNKNOWN_REMEDY = "Check workload_identity.url and the credential's section in the configuration."


@dataclass(frozen=True, slots=True)
class Trust:
    """What OpenAI has been told of us: the provider of our tokens, and the account they stand for."""

    identity_provider_id: str
    service_account_id: str


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float
    token_type: str = "Bearer"  # noqa: S105 - a type, not a token
    issued_token_type: str = _ACCESS_TOKEN


class _Error(msgspec.Struct, frozen=True):
    error: str


class TokenEndpoint:
    """Exchanges tokens at one URL, which `asking` has as its base."""

    def __init__(self, client: JsonHttpClient) -> None:
        self._client = client

    async def exchange(self, subject: Secret, trust: Trust) -> Issued | SourceError:
        """An access token, good for as long as OpenAI says. Never raises."""
        body = {
            "grant_type": _GRANT,
            "subject_token_type": _JWT,
            "subject_token": subject.reveal(),
            "identity_provider_id": trust.identity_provider_id,
            "service_account_id": trust.service_account_id,
        }
        answer = await self._client.ask("POST", "", document=body)
        if isinstance(answer, SourceError):
            return answer
        return _issued(answer, trust) if answer.good else _not_issued(answer)

    async def aclose(self) -> None:
        await self._client.aclose()


def _issued(answer: JsonResponse, trust: Trust) -> Issued | SourceError:
    token = answer.read(_Token, WHO)
    if isinstance(token, SourceError):
        return token
    is_bearer = token.token_type.lower() == "bearer" and token.issued_token_type == _ACCESS_TOKEN
    if not is_bearer or not _BEARER.match(token.access_token) or not 0 < token.expires_in <= LONGEST_SECONDS:
        return refused(ErrorCode.GARBLED, WHO)
    return Issued(Secret(token.access_token), token.expires_in, trust.service_account_id)


def _not_issued(answer: JsonResponse) -> SourceError:
    """Only error codes that we know are repeated: an endpoint could say anything, a token included."""
    error = answer.read(_Error, WHO)
    code = error.error if isinstance(error, _Error) else ""
    remedy = _REMEDIES.get(code)
    if remedy is None:
        return SourceError(
            ErrorCode.REJECTED, f"{WHO} rejects the exchange ({answer.status}).", _UNKNOWN_REMEDY
        )
    return SourceError(ErrorCode.FORBIDDEN, f"{WHO} rejects the exchange ({code}).", remedy)
