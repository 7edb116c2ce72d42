"""Commands are imported when they are run: what a list of them needs is little."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from broker.cli import main, policy
from broker.cli.lazy import Lazy

_HEAVY = ("grpc", "hyperscan", "pydantic", "structlog", "bpe_openai", "httpx", "aiohttp", "hvac")


LISTED = [*main.COMMANDS, *(f"policy {name}" for name in policy.COMMANDS)]
_EACH = """
import json, os, sys
from broker.cli.main import main

for command in sys.argv[1:]:
    read, write = os.pipe()
    if not os.fork():
        os.dup2(write, 1)
        sys.argv = ["broker", *command.split(), "--help"]
        main()
    os.close(write)
    with open(read) as said:
        text = said.read()
    print(json.dumps([command, os.waitstatus_to_exitcode(os.wait()[1]), text]), flush=True)
"""
"""Copies of a process that has loaded what a list of commands needs; each loads the rest by itself."""


def test_help_loads_no_part_of_the_server() -> None:
    code = f"import sys, broker.cli.main; print([name for name in {_HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_server_on_the_embedded_default_loads_no_client_of_vault_or_opa() -> None:
    code = f"import sys, broker.cli.serve; print([name for name in {_HEAVY[-2:]!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def helped() -> dict[str, tuple[int, str]]:
    """How `--help` of each command ended in a process of its own, and what it said."""
    done = subprocess.run([sys.executable, "-c", _EACH, *LISTED], capture_output=True, text=True, check=True)
    return {command: (code, said) for command, code, said in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("command", LISTED)
def test_each_command_of_the_list_can_be_run(helped: dict[str, tuple[int, str]], command: str) -> None:
    code, said = helped[command]
    assert code == 0
    assert f"Usage: broker {command}" in " ".join(said.split())


@pytest.mark.parametrize("lazy", [*main.COMMANDS.values(), *policy.COMMANDS.values()])
def test_each_line_of_the_list_is_short(lazy: Lazy) -> None:
    assert 10 < len(lazy.help) <= 60
