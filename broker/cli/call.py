"""`broker call chat|embeddings|raw`: one call through the broker, with a token issued for it.

Knows: requests and identities. Must not know: how the broker decides, or how replies look.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer

from broker.cli.exitcodes import ExitCode
from broker.cli.options import Json, grouped
from broker.cli.replies import answer, deny, print_stream, vector
from broker.cli.target import Target, TargetOptions, complain, resolve, verdict
from broker.client import BrokerAuth, TokenRequest

app = typer.Typer(no_args_is_help=True, help="Call OpenAI through the broker.")
_TIMEOUT = httpx.Timeout(600, connect=5)
Model = Annotated[str, typer.Option(help="The model to ask.")]
_CALL_ID = "x-broker-call-id"


@dataclass(frozen=True, slots=True)
class _Caller:
    """Sends one call. Leaves the command with exit code 1 where the broker says no."""

    target: Target
    wish: TokenRequest

    @contextmanager
    def reply(self, method: str, path: str, body: bytes | None) -> Iterator[httpx.Response]:
        """The reply's head, its body still to be read; its call id goes to standard error."""
        auth = BrokerAuth(self.target.https, self.wish)
        context = self.target.credentials.ssl_context()
        headers = {"content-type": "application/json"} if body is not None else {}
        with (
            httpx.Client(auth=auth, verify=context, timeout=_TIMEOUT, trust_env=False) as http,
            http.stream(method, self.target.https + path, content=body, headers=headers) as reply,
        ):
            if _CALL_ID in reply.headers:
                typer.echo(f"{_CALL_ID}: {reply.headers[_CALL_ID]}", err=True)
            if reply.is_error:
                reply.read()
                deny(reply)
            yield reply

    def post(self, path: str, document: Mapping[str, object]) -> bytes:
        """The whole reply to a JSON request."""
        with self.reply("POST", path, json.dumps(document).encode()) as reply:
            return reply.read()


@app.command()
@grouped
def chat(
    *,
    text: Annotated[str, typer.Argument(help="What to say.")],
    model: Model = "gpt-4o-mini",
    stream: Annotated[bool, typer.Option("--stream", help="Print words as they come.")] = False,
    chosen: TargetOptions,
    as_json: Json = False,
) -> None:
    """Asks a chat model and prints its answer; with --json the whole reply, or every event of a stream."""
    document = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    with verdict():
        caller = _Caller(resolve(chosen), chosen.wish())
        if stream:
            with caller.reply("POST", "/v1/chat/completions", json.dumps(document).encode()) as reply:
                print_stream(reply.iter_lines(), as_json=as_json)
            return
        body = caller.post("/v1/chat/completions", document)
        typer.echo(body if as_json else answer(body))


@app.command()
@grouped
def embeddings(
    *,
    text: Annotated[str, typer.Argument(help="What to embed.")],
    model: Model = "text-embedding-3-small",
    chosen: TargetOptions,
    as_json: Json = False,
) -> None:
    """Prints the text's vector, one number a line; with --json the whole reply."""
    with verdict():
        caller = _Caller(resolve(chosen), chosen.wish())
        body = caller.post("/v1/embeddings", {"model": model, "input": text})
        typer.echo(body if as_json else vector(body))


@app.command()
@grouped
def raw(
    *,
    method: Annotated[str, typer.Argument(help="GET, POST or DELETE.")],
    path: Annotated[str, typer.Argument(help="/v1/… with its query.")],
    body: Annotated[
        Path | None, typer.Option(help="A file with the JSON body, or - for standard input.")
    ] = None,
    chosen: TargetOptions,
) -> None:
    """Sends any request and prints the reply's bytes as they come."""
    with verdict():
        content = None if body is None else _content(body)
        caller = _Caller(resolve(chosen), chosen.wish())
        with caller.reply(method.upper(), path, content) as reply:
            try:
                for piece in reply.iter_bytes():
                    sys.stdout.buffer.write(piece)
                    sys.stdout.buffer.flush()
            except httpx.RemoteProtocolError:
                complain("The reply ended early: what was printed is not all of it.")
                raise typer.Exit(ExitCode.BAD) from None


def _content(body: Path) -> bytes:
    return sys.stdin.buffer.read() if str(body) == "-" else body.read_bytes()
