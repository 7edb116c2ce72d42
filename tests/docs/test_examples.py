"""The README's Python examples run as they stand; only the addresses and the folder are this test's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.tables import README
from tests.running import RunningBroker

EXAMPLES = [block.split("```")[0] for block in README.read_text().split("```python\n")[1:]]
SAID = {0: "Echo: What is a broker?", 1: "Echo: Say hello."}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(broker: RunningBroker, number: int) -> None:
    as_module = f'{sys.executable!r}, "-m", "broker.cli.main", "token", "issue", "--dev"'
    program = (
        EXAMPLES[number]
        .replace("https://127.0.0.1:8443", broker.https)
        .replace("127.0.0.1:8444", broker.grpc)
        .replace(".broker/pki", str(broker.directory / "pki"))
        .replace('"broker", "token", "issue"', f"{as_module}, {str(broker.directory)!r}")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert SAID[number] in done.stdout
