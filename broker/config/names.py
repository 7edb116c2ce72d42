"""Names as settings hold them, which others must be able to read: a trust domain, a log's origin, DNS names.

Knows: the form of a name. Must not know: any setting.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
_ORIGIN = re.compile(r"[^\s+]+\Z")
_SERVER_NAME = re.compile(r"[!-~]+\Z")


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


TrustDomain = Annotated[str, AfterValidator(_trust_domain)]
LogOrigin = Annotated[str, AfterValidator(_log_origin)]
ServerNames = Annotated[tuple[str, ...], AfterValidator(_server_names)]
