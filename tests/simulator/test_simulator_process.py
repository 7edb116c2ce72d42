"""The simulator as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests import plain

COMMAND = [sys.executable, "-m", "broker.simulator"]


def test_it_says_where_it_is_accepts_the_keys_of_a_file_and_ends_on_sigterm(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("sk-one\nsk-two\n")
    with subprocess.Popen([*COMMAND, "--key-file", str(keys)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, url = process.stdout.readline().split()
        assert word == "ready"
        for key, status in (("sk-one", 200), ("sk-two", 200), ("sk-three", 401)):
            reply = plain.get(url + "/v1/models", headers={"authorization": f"Bearer {key}"})
            assert reply.status_code == status
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert "--port" in ended.stderr


def test_it_takes_an_organization_from_a_file(tmp_path: Path) -> None:
    owned = tmp_path / "organization.json"
    owned.write_text('{"admin_keys": ["sk-admin-one"], "projects": ["proj_one"]}')
    command = [*COMMAND, "--organization", str(owned)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        reply = plain.post(
            f"{url}/v1/organization/projects/proj_one/service_accounts",
            json={"name": "app"},
            headers={"authorization": "Bearer sk-admin-one"},
        )
        assert reply.json()["api_key"]["value"].startswith("sk-svcacct-")
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_a_misspelt_organization_is_told(tmp_path: Path) -> None:
    owned = tmp_path / "organization.json"
    owned.write_text('{"admin_key": ["sk-admin-one"]}')
    ended = subprocess.run(
        [*COMMAND, "--organization", str(owned)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "--organization" in ended.stderr) == (3, True)
