"""A small endpoint over real mTLS: the token route, and calls that want a token it issued."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from tests.client.pki import Authority

CALL_ID = (b"x-broker-call-id", b"call-1")
EVENTS = b"".join(
    b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % word
    for word in (b"Hello", b", ", b"you")
)
DENIED = {
    "message": "No rule allows this model. Ask for gpt-4o-mini.",
    "type": "permission_error",
    "param": None,
    "code": "policy_denied",
    "reason": "POLICY_DENIED",
    "rule": "models",
}


@dataclass
class Endpoint:
    """What it answers and what it saw. `expired` bearers are refused with TOKEN_EXPIRED."""

    url: str
    expires_in: int = 300
    refuse_tokens: bool = False
    expired: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/oauth/token":
            status, headers, answer = self._token(body)
        else:
            bearer = dict(scope["headers"]).get(b"authorization", b"").decode()
            self.calls.append((scope["path"], bearer))
            self.bodies.append(body)
            status, headers, answer = self._call(bearer, body)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _token(self, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        self.forms.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        time.sleep(0.05)  # long enough for a second caller to come
        if self.refuse_tokens:
            refusal = {
                "error": "invalid_scope",
                "error_description": "No token: nothing is granted. Ask for less.",
                "reason": "POLICY_DENIED",
                "rule": "default",
            }
            return 403, [], json.dumps(refusal).encode()
        token = {"access_token": f"token-{len(self.forms)}", "token_type": "Bearer"}
        return 200, [], json.dumps(token | {"expires_in": self.expires_in, "scope": "chat"}).encode()

    def _call(self, bearer: str, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if bearer in self.expired:
            challenge = b'Bearer realm="broker", error="invalid_token", error_description="TOKEN_EXPIRED"'
            return 401, [(b"www-authenticate", challenge)], b'{"error": {"message": "Expired."}}'
        if b"forbidden" in body:
            return 403, [CALL_ID], json.dumps({"error": DENIED}).encode()
        if b'"stream":true' in body.replace(b" ", b""):
            ending = b"" if b"broken" in body else b"data: [DONE]\n\n"
            return 200, [CALL_ID, (b"content-type", b"text/event-stream")], EVENTS + ending
        message = {"role": "assistant", "content": "Hello, you"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return 200, [CALL_ID, (b"content-type", b"application/json")], json.dumps(reply).encode()


@contextmanager
def serving(authority: Authority) -> Iterator[Endpoint]:
    """The endpoint in a thread, on a free port; answering holders of a certificate of `authority`."""
    server_leaf = authority.leaf("server")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = Endpoint(f"https://127.0.0.1:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            endpoint,
            log_config=None,
            lifespan="off",
            ws="none",
            ssl_certfile=server_leaf.cert,
            ssl_keyfile=server_leaf.key,
            ssl_ca_certs=str(authority.ca),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield endpoint
        server.should_exit = True
        thread.join()
