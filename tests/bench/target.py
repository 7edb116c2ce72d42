"""Where a load goes and what it says there: the load generator's arguments. Knows no gateway by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .child import Child
from .deployment import Shape


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files: whom to trust, and the client certificate to show."""

    ca: Path
    cert: Path
    key: Path

    def arguments(self) -> list[str]:
        """As the load generator takes them."""
        return ["--ca", str(self.ca), "--cert", str(self.cert), "--key", str(self.key)]


class Target(Protocol):
    """Something that can be loaded in both shapes."""

    def arguments(self, shape: Shape) -> list[str]:
        """The load generator's sub-command and flags that name this target."""
        ...


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """An OpenAI-shaped HTTP server; `base` ends before `/v1`, `bodies` holds a file for each shape."""

    base: str
    bodies: dict[Shape, Path]
    headers: tuple[str, ...] = ()
    credentials: Credentials | None = None
    bearer: Path | None = None

    def arguments(self, shape: Shape) -> list[str]:
        """`http`: the chat completions route."""
        arguments = ["http", "--url", f"{self.base}/v1/chat/completions", "--body", str(self.bodies[shape])]
        for header in self.headers:
            arguments += ["--header", header]
        arguments += ["--bearer-file", str(self.bearer)] if self.bearer else []
        return arguments + (self.credentials.arguments() if self.credentials else [])


@dataclass(frozen=True, slots=True)
class GrpcTarget:
    """The broker's gRPC listener; `messages` holds an encoded request for each shape."""

    address: str
    methods: dict[Shape, str]
    messages: dict[Shape, Path]
    credentials: Credentials
    bearer: Path

    def arguments(self, shape: Shape) -> list[str]:
        """`grpc`: the shape's method with its message."""
        return [
            "grpc", "--address", self.address, "--method", self.methods[shape],
            "--message", str(self.messages[shape]), "--bearer-file", str(self.bearer),
            *self.credentials.arguments(),
        ]  # fmt: skip


def nothing() -> None:
    """For lanes that need nothing before a round."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the table: a target, the process whose CPU it costs (None: the upstream alone), and
    what to do before each round (a token may need renewal).
    """

    name: str
    target: Target
    child: Child | None
    before_round: Callable[[], None] = nothing
