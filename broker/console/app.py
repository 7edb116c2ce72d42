"""The ASGI application of the console listener."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from typing import Any

from broker.model.process import ProcessStatus

Message = MutableMapping[str, Any]
_BUNDLE = "/bundles/broker.tar.gz"
_HTML = b"text/html; charset=utf-8"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>broker</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}
dt{{font-weight:600}}dd{{margin:0 0 .6rem}}.ready{{color:#0a7d33}}.unready{{color:#b00020}}</style></head>
<body><h1>broker</h1><p class="{css}">{state}</p><dl>{facts}</dl>
<p><a href="/metrics">metrics</a> · <a href="/healthz">healthz</a> · <a href="/readyz">readyz</a></p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Status:
    """What the page shows: named facts, and functions for what changes. `policy` are the facts of the
    policies.
    """

    facts: tuple[tuple[str, str], ...]
    unready: Callable[[], str]
    metrics: Callable[[], Awaitable[bytes]]
    bundle: Callable[[], bytes | None] = lambda: None
    """The signed bundle that OPA may fetch here, where there is one; who fetches it verifies it."""
    policy: Callable[[], tuple[tuple[str, str], ...]] = tuple
    processes: Callable[[], Sequence[ProcessStatus]] = tuple
    trouble: Callable[[], str] = lambda: ""
    """What ails the key store: shown, but it takes no broker out of service (adr/0015)."""


class ConsoleApp:
    """Serves `/`, `/status`, `/metrics`, `/healthz`, `/readyz` and `/bundles/broker.tar.gz`; anything else is
    404.
    """

    def __init__(self, status: Status) -> None:
        self._status = status

    async def __call__(
        self, scope: Message, _receive: Any, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"] if scope["method"] == "GET" else ""
        extra: list[tuple[bytes, bytes]] = []
        bundle = self._status.bundle() if path == _BUNDLE else None
        if bundle is not None:
            etag, body = _tag(bundle), bundle
            known = dict(scope["headers"]).get(b"if-none-match") == etag
            status, media, extra = (304 if known else 200), b"application/gzip", [(b"etag", etag)]
            body = b"" if known else body
        else:
            status, media, body = await self._answer(path)
        headers = [
            *extra,
            (b"content-type", media),
            (b"content-length", str(len(body)).encode()),
            (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        missing = self._status.unready()
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", await self._status.metrics()
        if path == "/status":
            return 200, b"application/json", self._status_document(missing)
        if path == "/healthz":
            return 200, b"text/plain", b"alive\n"
        if path == "/readyz":
            lines = [missing or "ready", *self._ailing()]
            return (503 if missing else 200), b"text/plain", "".join(f"{line}\n" for line in lines).encode()
        if path == "/":
            return 200, _HTML, self._page(missing)
        return 404, b"text/plain", b"no such page\n"

    def _status_document(self, missing: str) -> bytes:
        processes = [asdict(each) for each in self._status.processes()]
        return json.dumps({"missing": missing, "processes": processes}).encode()

    def _ailing(self) -> list[str]:
        trouble = self._status.trouble()
        return [f"key store: {trouble}"] if trouble else []

    def _page(self, missing: str) -> bytes:
        shown = (*self._status.facts, *self._status.policy())
        facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in shown)
        state = "; ".join(
            escape(part) for part in (f"not ready: {missing}" if missing else "ready", *self._ailing())
        )
        return _PAGE.format(css="unready" if missing else "ready", state=state, facts=facts).encode()


def _tag(bundle: bytes) -> bytes:
    """Its entity tag (RFC 9110, 8.8.3)."""
    return f'"{sha256(bundle).hexdigest()}"'.encode()
