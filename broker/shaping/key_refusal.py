"""What upstream's 401 says: is it the key that is no good, or only this call with it? And its 429: is it
about a rate, or is money used up, and whose?

Knows: OpenAI's error bodies. Must not know: what is done about a key. A 401 echoes a part of the key it
refuses, so nothing of its text may go on: only its code, a word of OpenAI's own.
"""

from __future__ import annotations

import re

import orjson

from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply
from broker.model.pool import Payer, SpentMoney

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_SCOPES = "Missing scopes:"
MOST_BYTES = 64 * 1024
"""An error that is longer says nothing: reading it would keep others waiting."""
_PAYERS = {
    "project_spend_limit_exceeded": Payer.PROJECT,
    "organization_spend_limit_exceeded": Payer.ORGANIZATION,
    "organization_usage_limit_exceeded": Payer.ORGANIZATION,
    "credit_balance_exhausted": Payer.ORGANIZATION,
    "billing_not_active": Payer.ORGANIZATION,
    "billing_hard_limit_reached": Payer.KEY,
    "insufficient_quota": Payer.KEY,
}
"""OpenAI's guides "Error codes" and "Spend limits". The last is the `type` of most of these, too."""


def refusal_code(answer: Reply | StreamReply) -> str | None:
    """Why upstream refused the key itself, or None where a restricted key lacks a scope for this one call:
    OpenAI answers that with 401, too, and a caller could otherwise put every key out of service.

    >>> refusal_code(Reply(401, (), b'{"error": {"code": "invalid_api_key", "message": "Incorrect"}}'))
    'invalid_api_key'
    >>> refusal_code(Reply(401, (), b'{"error": {"code": null, "message": "Missing scopes: a.write."}}'))
    """
    error = _error(answer.body if isinstance(answer, Reply) else b"")
    code, message = error.get("code"), error.get("message")
    if code is None and isinstance(message, str) and _SCOPES in message:
        return None
    return code if isinstance(code, str) and _CODE.match(code) else "unspecified"


def spent_money(body: bytes) -> SpentMoney | None:
    """What a 429 says that is about money and not about a rate: no wait that a caller could be held for
    helps, it takes whoever sets OpenAI's limits. None for all others.

    >>> spent_money(b'{"error": {"code": "project_spend_limit_exceeded", "type": "insufficient_quota"}}')
    SpentMoney(code='project_spend_limit_exceeded', payer=<Payer.PROJECT: 'project'>)
    """
    error = _error(body)
    for word in (error.get("code"), error.get("type")):
        if isinstance(word, str) and word in _PAYERS:
            return SpentMoney(word, _PAYERS[word])
    return None


def _error(body: bytes) -> dict[str, object]:
    if len(body) > MOST_BYTES:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}


def key_refused() -> BrokerError:
    """Upstream's 401 speaks of the broker's key, part of which it echoes: the caller gets neither."""
    return BrokerError(
        Kind.CREDENTIAL_STORE_UNAVAILABLE,
        "The upstream refused the key that was leased for this call.",
        remedy="The operator must import a working key, with the scopes of this call: `broker keys import`.",
        retry_after=5,
    )
