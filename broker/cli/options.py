"""Options that several commands share, said once: alone, or as a dataclass whose fields are options.

Knows: how typer reads a command's signature. Must not know: what an option is for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import typer

Key = Annotated[Path | None, typer.Option("--key", help="Its private key (PEM).")]
Policies = Annotated[Path, typer.Option("--policies", metavar="DIR", help="The folder of policies.")]
PolicyFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of policies.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: in the place of each parameter that is a dataclass stand the fields of
    it; the command gets the dataclass made of what was given.
    """
    signature = inspect.signature(command, eval_str=True)
    annotations = {name: each.annotation for name, each in signature.parameters.items()}
    groups = {name: annotation for name, annotation in annotations.items() if _is_group(annotation)}

    def called(**given: Any) -> None:
        made = {
            name: group(**{option: given.pop(option) for option in inspect.signature(group).parameters})
            for name, group in groups.items()
        }
        command(**given, **made)

    parameters = list(_flat(signature))
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__module__, called.__qualname__ = command.__module__, command.__qualname__
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return called


def _flat(signature: inspect.Signature) -> Iterator[inspect.Parameter]:
    for each in signature.parameters.values():
        if _is_group(each.annotation):
            group = inspect.signature(each.annotation, eval_str=True)
            yield from (field.replace(kind=field.KEYWORD_ONLY) for field in group.parameters.values())
        else:
            yield each.replace(kind=each.KEYWORD_ONLY)


def _is_group(annotation: object) -> TypeGuard[Callable[..., Any]]:
    return isinstance(annotation, type) and is_dataclass(annotation)
