"""HTTP without TLS, on loopback: of the console, the simulator, OPA. httpx alone would load all CAs of the
system for each request, which takes longer than most of the tests around it.
"""

from __future__ import annotations

from typing import Any

import httpx


def get(url: str, **options: Any) -> httpx.Response:
    """As httpx.get."""
    return _ask("GET", url, **options)


def post(url: str, **options: Any) -> httpx.Response:
    """As httpx.post."""
    return _ask("POST", url, **options)


def _ask(method: str, url: str, **options: Any) -> httpx.Response:
    assert url.startswith("http://")
    return httpx.request(method, url, verify=False, trust_env=False, **options)  # noqa: S501 - there is no TLS
