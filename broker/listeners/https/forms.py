"""Names and values: of a form in a body, of a query in a path.

Knows: their encoding (WHATWG URL, application/x-www-form-urlencoded). Must not know: any route.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from broker.errors import BrokerError
from broker.listeners.fields import refuse

_MEDIA = "application/x-www-form-urlencoded"
_MAX_FIELDS = 16


def form_of(headers: dict[str, str], body: bytes) -> dict[str, str]:
    """The fields of a form, each there once. Raises BAD_REQUEST."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _MEDIA:
        raise _invalid("body", f"the content type must be {_MEDIA}")
    try:
        return _fields("body", body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _invalid("body", "not a form") from None


def query_of(query: str, *known: str) -> dict[str, str]:
    """The fields of a query, each there once and known. Raises BAD_REQUEST."""
    fields = _fields("query", query)
    for name in fields:
        if name not in known:
            raise refuse("query", "there is no such field", f"There are: {', '.join(known)}.")
    return fields


def _fields(where: str, text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _invalid(where, "not a form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _invalid(where, "a field came twice")  # RFC 6749, 3.2
    return fields


def _invalid(where: str, why: str) -> BrokerError:
    return refuse(where, why, "Send each field once, percent-encoded. For tokens see RFC 6749, section 4.4.")
