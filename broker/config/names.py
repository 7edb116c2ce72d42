"""Names as settings hold them, which others must be able to read: a trust domain, a log's origin, DNS names,
headers, scopes.

Knows: the form of a name. Must not know: any setting.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
_ORIGIN = re.compile(r"[^\s+]+\Z")
_SERVER_NAME = re.compile(r"[!-~]+\Z")
_HEADER_PREFIX = re.compile(
    r"[A-Za-z0-9!#$%&'+.^_`|~-]+\Z"
)  # RFC 9110, 5.1; a star there would look like any name
_SCOPE = re.compile(r"[!-~]+\Z")


def _trust_domain(name: str) -> str:
    if not _TRUST_DOMAIN.match(name):
        raise ValueError("not a SPIFFE trust domain; give one such as example.org, in lower case")
    return name


def _log_origin(name: str) -> str:
    if not _ORIGIN.match(name) or not name.isprintable():
        raise ValueError(
            "not an origin; give one without spaces and plus signs, e.g. broker.example.org/log1"
        )
    return name


def _server_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_SERVER_NAME.match, names)):
        raise ValueError("not a DNS name or IP address; give names in ASCII, such as broker.example.org")
    return names


def _header_prefixes(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """In lower case, as names are compared. An empty one would let every header through."""
    for number, prefix in enumerate(prefixes, 1):
        if not _HEADER_PREFIX.match(prefix):
            flaw = "is empty" if not prefix.strip() else "cannot begin the name of a header"
            raise ValueError(f"entry {number} {flaw}; give how the names begin, such as x-sim-, without a *")
    return tuple(prefix.lower() for prefix in prefixes)


def _scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """An empty list given on purpose would open all that a member may."""
    if not scopes or not all(map(_SCOPE.match, scopes)):
        flaw = "a scope that is none" if scopes else "an empty list"
        raise ValueError(f"{flaw}; give scopes such as model.request, or leave the setting out for all")
    return scopes


TrustDomain = Annotated[str, AfterValidator(_trust_domain)]
LogOrigin = Annotated[str, AfterValidator(_log_origin)]
ServerNames = Annotated[tuple[str, ...], AfterValidator(_server_names)]
HeaderPrefixes = Annotated[tuple[str, ...], AfterValidator(_header_prefixes)]
Scopes = Annotated[tuple[str, ...], AfterValidator(_scopes)]
