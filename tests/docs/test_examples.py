"""The examples for Python and curl run as they stand; only the addresses and the folders are this test's.

Those for Node and Go, which have packages to fetch: tests/package/test_quickstarts.py.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, name
from tests.running import RunningBroker

SERVICES = ROOT / "protos"
EXAMPLES = blocks((SERVICES / "python.md").read_text(), "python")
SAID = {0: "Echo: What is a broker?", 1: "Echo: Say hello."}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(broker: RunningBroker, number: int) -> None:
    as_module = f'{sys.executable!r}, "-m", "broker.cli.main", "token", "issue", "--dev"'
    program = here(EXAMPLES[number], broker).replace(
        '"broker", "token", "issue"', f"{as_module}, {str(broker.directory)!r}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert SAID[number] in done.stdout


def test_every_python_example_is_one_that_runs() -> None:
    assert {name(page) for page in PAGES if blocks(page.read_text(), "python")} == {"protos/python.md"}


def test_the_commands_for_curl_run(broker: RunningBroker) -> None:
    """In one shell, as a reader does; `broker` is this environment's."""
    command = f'broker() {{ "{sys.executable}" -m broker.cli.main "$@"; }}\n'
    lines = "\n".join(blocks((SERVICES / "curl.md").read_text(), ""))
    done = subprocess.run(
        ["bash", "-euc", command + here(lines, broker).replace("--dev ..", f"--dev {broker.directory}")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    for expected in (
        '"expires_in":300',
        "Echo: Hello",
        "data: [DONE]",
        "HTTP/1.1 403",
        '"rule":',
        "x-broker-call-id: ",
    ):
        assert expected in done.stdout, expected


def here(text: str, broker: RunningBroker) -> str:
    """The example with this broker's addresses and folder for those of `broker dev`."""
    return (
        text.replace("https://127.0.0.1:8443", broker.https)
        .replace("127.0.0.1:8444", broker.grpc)
        .replace("localhost:8444", broker.grpc.replace("127.0.0.1", "localhost"))
        .replace(".broker/pki", str(broker.directory / "pki"))
    )
