"""A group whose commands are imported when they are run: `--help`, and a command that needs little, do not
wait for the server's parts.

Knows: typer. Must not know: the commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class Lazy(NamedTuple):
    """A command before it is imported: `module:name` of a function or a group, and its line in the help."""

    target: str
    help: str


def lazy_group(text: str, commands: Mapping[str, Lazy]) -> typer.Typer:
    """A group of these commands by name, with `text` as its help."""

    class Group(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
            """Where a command is run, or asked for its own help, it is the real one."""
            name, _, rest = super().resolve_command(ctx, args)
            return name, _loaded(name, commands[name]) if name is not None else None, rest

    app = typer.Typer(
        cls=Group, help=text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    for name, lazy in commands.items():
        app.command(name, help=lazy.help)(_nothing)
    return app


def _loaded(name: str, lazy: Lazy) -> Any:
    module, _, attribute = lazy.target.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return get_command(alone)


def _nothing() -> None:
    """Stands for a command in a list of commands."""
