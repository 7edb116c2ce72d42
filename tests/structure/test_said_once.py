"""What is said once stays said once: units, exit codes, options, Retry-After, functions."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.structure.sources import modules

UNITS = "broker/model/units.py"
EXIT_CODES = "broker/cli/exitcodes.py"
WAITS = "broker/shaping/retry_after.py"
OF_A_UNIT = frozenset((1e9, 1e6, 1e-9, 1e-6, 1e-3, 86_400))
SMALL = 45
"""Nodes of a function that is too small for a place of its own, e.g. one `isinstance` and a default."""


def test_only_the_units_module_says_how_many_nanoseconds_a_second_has() -> None:
    said = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        if path != UNITS
        for node in _numbers(tree)
        if node.value in OF_A_UNIT
    ]
    assert said == [], f"import it from {UNITS}"


def _numbers(tree: ast.Module) -> Iterator[ast.Constant]:
    """But bounds in seconds of a table of buckets, and sizes, which are named so."""
    passed = {
        number
        for node in tree.body
        if isinstance(node, ast.Assign) and _named(node).endswith(("_BYTES", "_BOUNDS"))
        for number in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node not in passed:
            yield node


def test_how_patient_properties_are_is_said_in_one_place() -> None:
    said = [
        f"{path}:{word.value.lineno}"
        for path, tree in modules("tests").items()
        if path != "tests/conftest.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "settings"
        for word in node.keywords
        if word.arg == "deadline"
    ]
    assert said == [], "tests/conftest.py has the profile: no deadline, for the machine may be busy"


def _named(node: ast.Assign) -> str:
    return node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""


def test_no_command_says_an_exit_code_as_a_number() -> None:
    said = [
        f"{path}:{node.lineno}"
        for path, tree in modules("broker/cli").items()
        if path != EXIT_CODES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Exit", "sys.exit", "SystemExit")
        if any(_has_number(argument) for argument in node.args)
    ]
    named = [
        f"{path}:{node.lineno}"
        for path, tree in modules("broker/cli").items()
        if path != EXIT_CODES
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(word in ast.unparse(node.targets[0]).upper() for word in ("COULD_NOT_RUN", "DENIED", "EXIT"))
        and any(
            isinstance(value, ast.Constant) and type(value.value) is int for value in ast.walk(node.value)
        )
    ]
    assert said + named == [], f"take it from {EXIT_CODES}"


def _has_number(tree: ast.expr) -> bool:
    return any(isinstance(node, ast.Constant) and type(node.value) is int for node in ast.walk(tree))


def test_no_option_of_a_command_is_written_twice() -> None:
    places = defaultdict(list)
    for path, tree in modules("broker/cli").items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Option", "typer.Argument"):
                places[ast.unparse(node)].append(f"{path}:{node.lineno}")
    assert {option: where for option, where in places.items() if len(where) > 1} == {}, (
        "say it in broker/cli/options.py, alone or as a dataclass for `grouped`"
    )


def test_no_two_commands_of_one_module_take_the_same_three_options() -> None:
    """Such a group is a dataclass for `grouped`."""
    for path, tree in modules("broker/cli").items():
        taken: dict[tuple[str, ...], str] = {}
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or not _is_command(node):
                continue
            names = _with_default(node.args)
            for start in range(len(names) - 2):
                group = tuple(names[start : start + 3])
                assert taken.setdefault(group, node.name) == node.name, f"{path}: {group} in {node.name}, too"


def _with_default(arguments: ast.arguments) -> list[str]:
    """The options; a group of them has no default."""
    plain = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [each.arg for each in plain] + [each.arg for each, default in named if default is not None]


def _is_command(node: ast.FunctionDef) -> bool:
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_one_module_reads_what_a_server_says_of_waiting() -> None:
    """Who takes the header from an answer hands it to that module."""
    readers = [
        path
        for path, tree in modules().items()
        if path != WAITS
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and any(isinstance(each, ast.Constant) and each.value == "retry-after" for each in node.args)
    ]
    assert readers
    for path in readers:
        imported = {node.module for node in ast.walk(modules()[path]) if isinstance(node, ast.ImportFrom)}
        assert WAITS.removesuffix(".py").replace("/", ".") in imported, path


def test_no_function_is_written_twice() -> None:
    places = defaultdict(list)
    for path, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if sum(1 for line in body for _ in ast.walk(line)) > SMALL:
                    places["\n".join(map(ast.unparse, body))].append(f"{path}:{node.name}")
    assert [where for where in places.values() if len(where) > 1] == []
