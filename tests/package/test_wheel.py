"""The built wheel, alone in a fresh virtual environment outside of the checkout, does the main job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 300


def uv(*words: str | Path, cwd: Path = ROOT) -> str:
    """Runs the uv that `make` installed, or the one on PATH."""
    own = ROOT / ".tools/uv/bin/uv"
    found = str(own) if own.exists() else shutil.which("uv")
    assert found is not None, "there is no uv: run the tests with `make test`, which installs it"
    done = subprocess.run(
        [found, *words], capture_output=True, text=True, timeout=SECONDS, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """The wheel's `broker` command, and an empty directory to run it in."""

    wheel: Path
    command: Path
    directory: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *words],
            check=False,
            cwd=self.directory,
            env=_bare(),
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built, and installed with the versions of uv.lock; nothing else is in the environment."""
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--quiet", "--python", sys.executable, "--out-dir", folder / "dist")
    (wheel,) = (folder / "dist").glob("*.whl")
    locked = uv("export", "--frozen", "--no-dev", "--no-emit-project", "--format", "requirements-txt")
    (folder / "locked.txt").write_text(locked)
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv/bin/python"
    uv("pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", folder / "locked.txt")
    uv("pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    (folder / "elsewhere").mkdir()
    return Installed(wheel, folder / "venv/bin/broker", folder / "elsewhere")


@pytest.fixture(scope="module")
def running(installed: Installed) -> Iterator[Installed]:
    """`broker dev` of the wheel, ready."""
    free = [f"--{listener}=127.0.0.1:0" for listener in ("https", "grpc", "console")]
    errors = installed.directory / "errors"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [installed.command, "dev", *free],
            cwd=installed.directory,
            env=_bare(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready", errors.read_text()
    yield installed
    process.terminate()
    process.stdout.close()
    assert process.wait(30) == 0, errors.read_text()


def _bare() -> dict[str, str]:
    """An environment in which the checkout cannot be found."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONUNBUFFERED": "1"}


def test_the_policies_and_stubs_are_inside(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    policies = {f"broker/policies/{path.relative_to(ROOT / 'policies')}" for path in _policies()}
    assert policies
    assert policies <= names
    assert "broker/gen/broker/v1/openai_pb2_grpc.py" in names
    assert not [name for name in names if name.startswith("tests/") or name.endswith((".pem", ".key"))]


def test_what_only_who_changes_the_broker_reads_is_not_inside(installed: Installed) -> None:
    """ARCHITECTURE.md, CONTRIBUTING.md and the decisions stay in the repository."""
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert [name for name in names if name.endswith(".md") and not name.startswith("broker/policies/")] == []
    assert [name for name in names if "/adr/" in name] == []


def test_a_program_of_a_client_is_type_checked_against_it(installed: Installed, tmp_path: Path) -> None:
    assert "broker/py.typed" in zipfile.ZipFile(installed.wheel).namelist()
    right = """
from broker.client import Credentials, Token, TokenRequest, issue_token

me = Credentials("svc.pem", "svc.key", "ca.pem")
token: Token = issue_token("https://broker:8443", me, TokenRequest(scope="chat:gpt-4o"))
"""
    assert _type_errors(installed, tmp_path / "right.py", right) == []
    wrong = _type_errors(installed, tmp_path / "wrong.py", right.replace("token: Token", "token: int"))
    assert len(wrong) == 1
    assert "[assignment]" in wrong[0]


def _type_errors(installed: Installed, path: Path, program: str) -> list[str]:
    """What mypy says of a program that stands where the checkout cannot be found."""
    path.write_text(program)
    python = installed.command.parent / "python"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, path.name],
        check=False,
        cwd=path.parent,
        env=_bare(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_the_extras_that_the_pages_name_are_offered(installed: Installed) -> None:
    archive = zipfile.ZipFile(installed.wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    offered = set(re.findall(r"^Provides-Extra: (\S+)$", archive.read(metadata).decode(), re.MULTILINE))
    assert offered == {"httpx2", "openai"}
    named = re.findall(r"\.whl\[(\w+)\]", (ROOT / "protos/python.md").read_text())
    assert named
    assert set(named) <= offered


def _policies() -> list[Path]:
    return [path for path in (ROOT / "policies").rglob("*") if path.suffix in (".rego", ".json")]


def test_a_call_from_another_directory(running: Installed) -> None:
    said = json.loads((running.directory / ".broker/dev.json").read_text())
    assert Path(said["policies"]).is_relative_to(running.command.parents[1])
    chat = running.run("call", "chat", "Hello", "--user", "alice")
    assert (chat.returncode, chat.stdout.startswith("Echo: Hello")) == (0, True), chat.stderr
    denied = running.run("call", "chat", "Hello", "--as", "intruder")
    assert (denied.returncode, denied.stdout) == (1, "")


@pytest.mark.parametrize("sdk", ["openai>=2,<3", "openai>=3"])
def test_the_readmes_snippet_runs_where_only_the_sdk_is_installed(
    running: Installed, tmp_path: Path, sdk: str
) -> None:
    """Version 3 brings httpx2 and no httpx: what the snippet imports must be there in both."""
    uv("venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    uv("pip", "install", "--quiet", "--python", tmp_path / "venv/bin/python", sdk)
    said = json.loads((running.directory / ".broker/dev.json").read_text())
    snippet = (ROOT / "protos/python.md").read_text().split("```python\n")[1].split("```")[0]
    program = snippet.replace("https://127.0.0.1:8443", said["https"]).replace(
        '"broker", "token"', f'"{running.command}", "token"'
    )
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", program],
        cwd=running.directory,
        env=_bare(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Echo: What is a broker?" in done.stdout


def test_the_log_of_the_installed_broker_verifies(running: Installed) -> None:
    running.run("call", "embeddings", "one", "--as", "batch")
    checked = running.run("audit", "verify", ".broker/log", "--json")
    assert json.loads(checked.stdout)["problem_count"] == 0
    shown = running.run("audit", "show", ".broker/log", "--type", "outcome", "--json")
    assert json.loads(shown.stdout.splitlines()[-1])["status"] == 200
