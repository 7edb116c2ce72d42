"""Replies as a person reads them: words, vectors, streams, refusals.

Knows: the shapes of OpenAI's replies and errors. Must not know: what was asked, or of whom.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress

import httpx
import typer

from broker.cli.exitcodes import ExitCode
from broker.cli.target import complain
from broker.errors import BrokerError, Kind

_DATA = "data: "
_DONE = "[DONE]"


def print_stream(lines: Iterator[str], *, as_json: bool) -> None:
    """Prints the words (or events) as they come. Exit code 1 where the stream broke."""
    for line in _until_cut(lines):
        if not line.startswith(_DATA):
            continue
        event = line[len(_DATA) :]
        if event == _DONE:
            typer.echo("", nl=not as_json)
            return
        document = _parsed(event)
        if isinstance(document, dict) and "error" in document:
            _complain_of(document)
            raise typer.Exit(ExitCode.BAD)
        typer.echo(event if as_json else _words(document), nl=as_json)
    complain("The stream ended early: what was printed is not the whole answer. Try again.")
    raise typer.Exit(ExitCode.BAD)


def _until_cut(lines: Iterator[str]) -> Iterator[str]:
    with suppress(httpx.RemoteProtocolError):  # who reads them misses the end, and says so
        yield from lines


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise _strange() from None


def _strange() -> BrokerError:
    return BrokerError(
        Kind.UPSTREAM_INTERRUPTED,
        "The reply is not what OpenAI documents.",
        remedy="See it with `broker call raw`.",
    )


def answer(body: bytes) -> str:
    """The words of a chat reply. Raises BrokerError where it is none."""
    match _parsed(body):
        case {"choices": [{"message": {"content": str(words)}}, *_]}:
            return harmless(words)
    raise _strange()


def vector(body: bytes) -> str:
    """The first vector of an embeddings reply, one number a line. Raises BrokerError where it is none."""
    match _parsed(body):
        case {"data": [{"embedding": [*numbers]}, *_]}:
            return "\n".join(map(str, numbers))
    raise _strange()


def _words(document: object) -> str:
    match document:
        case {"choices": [{"delta": {"content": str(words)}}, *_]}:
            return harmless(words)
    return ""


def harmless(words: str) -> str:
    """Without the characters that would steer a terminal, where there is one: the words are not ours."""
    if not sys.stdout.isatty():
        return words
    return "".join(character for character in words if character.isprintable() or character in "\n\t")


def deny(reply: httpx.Response) -> None:
    """Prints why the broker said no. Raises typer.Exit(1)."""
    try:
        _complain_of(reply.json())
    except ValueError:
        complain(f"The broker answered {reply.status_code} without a reason.")
    raise typer.Exit(ExitCode.BAD)


def _complain_of(document: object) -> None:
    """The broker's message, which ends with the remedy, and which rule said so."""
    match document:
        case {"error": {"message": str(message), **facts}}:
            named = [f"{name} {facts[name]}" for name in ("code", "rule", "param") if facts.get(name)]
            complain(f"{message} ({', '.join(named)})" if named else message)
        case _:
            complain("The broker refused the call without a reason.")
