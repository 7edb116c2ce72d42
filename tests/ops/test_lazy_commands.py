"""Commands are imported when they are run: what a list of them needs is little."""

from __future__ import annotations

import subprocess
import sys

import pytest

from broker.cli import main, policy
from broker.cli.lazy import Lazy

_HEAVY = ("grpc", "hyperscan", "pydantic", "structlog", "bpe_openai", "httpx", "aiohttp", "hvac")


def test_help_loads_no_part_of_the_server() -> None:
    code = f"import sys, broker.cli.main; print([name for name in {_HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_server_on_the_embedded_default_loads_no_client_of_vault_or_opa() -> None:
    code = f"import sys, broker.cli.serve; print([name for name in {_HEAVY[-2:]!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", [*main.COMMANDS, *(f"policy {name}" for name in policy.COMMANDS)])
def test_each_command_of_the_list_can_be_run(command: str) -> None:
    arguments = [sys.executable, "-m", "broker.cli.main", *command.split(), "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert f"Usage: broker {command}" in " ".join(
        done.stdout.replace("python -m broker.cli.main", "broker").split()
    )


@pytest.mark.parametrize("lazy", [*main.COMMANDS.values(), *policy.COMMANDS.values()])
def test_each_line_of_the_list_is_short(lazy: Lazy) -> None:
    assert 10 < len(lazy.help) <= 60
