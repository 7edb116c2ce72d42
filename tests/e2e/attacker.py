"""A hostile caller, in a process of its own: sends what it is told again and again until its input ends.

python -m tests.e2e.attacker '{"https": …}'. Knows nothing of the broker but its listeners: its own work must
not be taken for the broker's.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
_MIB = 1024 * 1024
_HEAD = b'{"model":"gpt-4o","messages":[{"role":"user","content":"'
_TAIL = b'"}]}'
_EVENTS = 20_000
_FAST, _LONG = f"words:{_EVENTS}", _EVENTS * 100


def _text(piece: str, size: int = 16 * _MIB) -> bytes:
    """A chat of `size` bytes that says the same again and again."""
    return _HEAD + piece.encode() * ((size - 200) // len(piece.encode())) + _TAIL


def _beside(more: bytes) -> bytes:
    """A small chat with more members."""
    return _HEAD + b"hi" + _TAIL[:-1] + b"," + more + b"}"


def _keys(count: int) -> bytes:
    return b",".join(b'"k%d":1' % number for number in range(count))


def _integers(count: int) -> bytes:
    return b'{"model":"text-embedding-3-small","input":[' + b"1," * count + b"1]}"


BODIES: dict[str, Callable[[], bytes]] = {
    "2,000,000 integers": lambda: _integers(2_000_000),
    "500,000 integers": lambda: _integers(500_000),
    "200,000 keys": lambda: _beside(_keys(200_000)),
    "60,000 keys": lambda: _beside(_keys(60_000)),
    "100,000 messages": lambda: (
        b'{"model":"gpt-4o","messages":[' + b'{"role":"user","content":"a"},' * 100_000 + b"{}]}"
    ),
    "nested arrays": lambda: _beside(b'"x":' + b"[" * 8_000_000 + b"]" * 8_000_000),
    "100,000 addresses": lambda: _text("a@b.cc ", 700_000),
    "16 MiB of text": lambda: _text("hello, world "),
    "beginnings of tokens": lambda: _text("eyJhbGciOiJ."),
    "letters that are folded": lambda: _text("ｓｋ−１"),
    "invisible characters": lambda: _text("a\u200b"),
    "one invisible character": lambda: _text("hello, world ").replace(b"rld", "r\u200bld".encode(), 1),
    "escapes": lambda: _text("\\\\u0065"),
    "a small call": lambda: _HEAD + b"hi" + _TAIL,
    "a reply of 8 MiB": lambda: _HEAD + b"hi" + _TAIL,
    "a stream of 20,000 events": lambda: _beside(b'"stream":true'),
}


def body(name: str) -> tuple[str, bytes]:
    """Path and body of an attack."""
    return EMBEDDINGS if name.endswith("integers") else CHAT, BODIES[name]()


def _over_https(told: dict[str, Any], name: str) -> Callable[[], None]:
    host, _, port = told["https"].removeprefix("https://").rpartition(":")
    context = ssl.create_default_context(cafile=told["ca"])
    context.load_cert_chain(told["cert"], told["key"])
    headers = {"authorization": f"Bearer {told['token']}", "content-type": "application/json"}
    path, content = body(name)
    streams = name.startswith("a stream")
    if streams:
        headers["x-sim-fault"] = _FAST
    elif name == "a reply of 8 MiB":
        headers["x-sim-fault"] = f"huge:{8 * _MIB}"

    def send() -> None:
        while True:
            connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=120)
            with contextlib.suppress(OSError, http.client.HTTPException):
                while True:
                    connection.request("POST", path, content, headers)
                    reply = connection.getresponse()
                    if len(reply.read()) < _LONG * streams:
                        os._exit(3)  # it was refused: this is no attack

    return send


def _over_grpc(told: dict[str, Any], name: str) -> Callable[[], None]:
    import grpc  # noqa: PLC0415 - after the package that sets its TLS floor

    from broker.gen.broker.v1 import openai_pb2  # noqa: PLC0415 - only where it is asked for: it takes long
    from broker.listeners.grpc.codec import from_document  # noqa: PLC0415

    key, cert, ca = (Path(told[file]).read_bytes() for file in ("key", "cert", "ca"))
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.secure_channel(told["grpc"], grpc.ssl_channel_credentials(ca, key, cert), options)
    path, asked = body(name)
    chat = path == CHAT
    request = openai_pb2.CreateChatCompletionRequest if chat else openai_pb2.CreateEmbeddingsRequest
    content = from_document(request, json.loads(asked)).SerializeToString()
    if name.startswith("a stream"):
        return _streams(channel, told["token"])
    fault = [("x-sim-fault", f"huge:{8 * _MIB}")] if name == "a reply of 8 MiB" else []
    call: Any = channel.unary_unary(
        f"/broker.v1.OpenAIService/{'CreateChatCompletion' if chat else 'CreateEmbeddings'}"
    )

    def send() -> None:
        while True:
            with contextlib.suppress(grpc.RpcError):
                call(content, metadata=[("authorization", f"Bearer {told['token']}"), *fault], timeout=120)

    return send


def _streams(channel: Any, token: str) -> Callable[[], None]:
    from broker.gen.broker.v1 import openai_pb2, openai_pb2_grpc  # noqa: PLC0415

    asked = openai_pb2.CreateChatCompletionRequest(model="gpt-4o")
    asked.messages.add(role="ROLE_USER").content.text = "hi"
    request = openai_pb2.StreamChatCompletionRequest(request=asked)
    stub = openai_pb2_grpc.OpenAIServiceStub(channel)

    def send() -> None:
        while True:
            metadata = (("authorization", f"Bearer {token}"), ("x-sim-fault", _FAST))
            if sum(1 for _ in stub.StreamChatCompletion(request, metadata=metadata)) < _EVENTS:
                os._exit(3)

    return send


def _main() -> None:
    told = json.loads(sys.argv[1])
    listeners = {"https": _over_https, "grpc": _over_grpc}
    for send in [listeners[listener](told, name) for listener, name in told["attacks"]]:
        threading.Thread(target=send, daemon=True).start()
    print("begun", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
