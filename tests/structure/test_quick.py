"""`make quick` is what it says: the tests of its folders, and no others, start no process or server."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.structure.sources import ROOT, modules

STARTS = frozenset({"subprocess", "multiprocessing", "socket", "socketserver", "uvicorn", "grpc.aio"})
"""Modules with which a test starts something, or talks to it."""
STARTED = re.compile(
    r"\w+\.(create_subprocess\w+|start_server|create_server|open_connection|fork|exec[lv]\w*|spawn\w+|posix_spawn"
    r"|system|popen)|pytest\.mark\.servers"
)
RUNNING = "broker"
"""The fixture of tests/conftest.py: a broker for every folder that asks for it."""


def test_the_quick_folders_are_those_that_start_nothing() -> None:
    """One that is missing in QUICK of the Makefile belongs there; one too much has the reasons told."""
    (line,) = re.findall(r"^QUICK := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    quick = {f"tests/{name}" for name in line.split()}
    started = {folder: [*_started(folder)] for folder in _folders()}
    assert {folder: started[folder] for folder in quick if started[folder]} == {}
    assert {folder for folder, reasons in started.items() if not reasons} - quick == set()


def test_what_starts_something_is_seen() -> None:
    for line in (
        "import subprocess",
        "from asyncio import subprocess",
        "from grpc import aio",
        "def test_it(broker: RunningBroker) -> None: ...",
        "server = await asyncio.start_server(answer)",
        "pid = os.fork()",
        "pytestmark = pytest.mark.servers",
    ):
        assert any(_starts(node) for node in ast.walk(ast.parse(line))), line
    assert not any(_starts(node) for node in ast.walk(ast.parse("from broker.model import operation")))


def _folders() -> set[str]:
    """Those with tests."""
    return {
        path.rpartition("/")[0] for path in modules("tests") if path.rpartition("/")[2].startswith("test_")
    }


def _started(folder: str) -> Iterator[str]:
    """What a folder, or a module of tests that it imports, starts."""
    waiting = [path for path in modules("tests") if path.startswith(f"{folder}/")]
    seen = set(waiting)
    while waiting:
        reasons, helpers = _read(waiting.pop())
        yield from reasons
        waiting += helpers - seen
        seen |= helpers


@cache
def _read(path: str) -> tuple[list[str], set[str]]:
    """What a module starts itself, and the modules of tests that it imports."""
    reasons, helpers = list[str](), set[str]()
    for node in ast.walk(modules("tests")[path]):
        if reason := _starts(node):
            reasons.append(f"{path}:{getattr(node, 'lineno', 0)}: {reason}")
        helpers |= {f"{name.replace('.', '/')}.py" for name in _imported(node)}
    return reasons, helpers & modules("tests").keys()


def _starts(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and STARTED.fullmatch(name := _dotted(node)):
        return name
    if isinstance(node, ast.arg) and node.arg == RUNNING:
        return "the running broker"
    return next((name for name in _imported(node) if name in STARTS or name.endswith(".subprocess")), None)


def _dotted(node: ast.expr) -> str:
    """`a.b.c`; an empty string begins where there is more than names."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _imported(node: ast.AST) -> list[str]:
    """Every module that a statement may import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []
