"""The ports that tests give to servers: nobody is given one twice."""

from __future__ import annotations

import subprocess
import sys

from tests.ports import PORTS, free_port

COUNT = 200
_OTHER = f"from tests.ports import free_port; print(*(free_port() for _ in range({COUNT}))); input()"


def test_no_port_is_given_twice_in_this_process_or_in_another() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = [int(port) for port in other.stdout.readline().split()]
        ours = [free_port() for _ in range(COUNT)]
        other.communicate("\n")
    assert len({*theirs, *ours}) == 2 * COUNT
    assert all(port in PORTS for port in theirs + ours)
