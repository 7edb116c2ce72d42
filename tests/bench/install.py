"""Builds the load generator and installs peers, each into a folder of its own under the cache.

Knows go, venv, pip and npm. Must not know how a peer is started.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import BenchError

LOAD_SOURCE = Path(__file__).parent / "load"
REMEDIES = {
    "go": "install Go 1.24 or newer (the load generator and the upstream are built with it)",
    "node": "install Node.js 20 or newer, or leave Portkey out with --peers",
    "npm": "install npm, or leave Portkey out with --peers",
}
DONE = ".installed"


def say(text: str) -> None:
    """Progress goes to standard error: standard output holds the tables alone."""
    print(text, file=sys.stderr, flush=True)


def need(tool: str) -> str:
    """The tool's path. Raises BenchError naming the remedy where it is missing."""
    found = shutil.which(tool)
    if found is None:
        raise BenchError(f"`{tool}` is not on PATH: {REMEDIES[tool]}")
    return found


def build_load(cache: Path) -> Path:
    """Builds tests/bench/load; Go's own cache makes an unchanged build instant."""
    binary = cache / "load"
    say("building the load generator and the upstream (Go)")
    _run([need("go"), "build", "-o", str(binary), "."], folder=LOAD_SOURCE)
    return binary


def python_environment(cache: Path, name: str, requirement: str) -> Path:
    """A virtual environment with `requirement` in it; returns its folder of commands."""
    folder = cache / name
    if not _installed(folder, requirement):
        say(f"installing {requirement} into {folder}")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], folder=cache)
        _run([str(folder / "bin" / "pip"), "install", "--quiet", requirement], folder=cache)
        (folder / DONE).write_text(requirement)
    return folder / "bin"


def node_folder(cache: Path, name: str, package: str, version: str, overrides: dict[str, str]) -> Path:
    """A folder with an npm package, `overrides` pinning what it depends on; returns its node_modules."""
    folder = cache / name
    manifest = json.dumps({"private": True, "dependencies": {package: version}, "overrides": overrides})
    if not _installed(folder, manifest):
        say(f"installing {package} {version} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(manifest)
        _run([need("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error"], folder=folder)
        (folder / DONE).write_text(manifest)
    return folder / "node_modules"


def _installed(folder: Path, what: str) -> bool:
    """Whether exactly this was installed there to its end: a changed version or pin installs anew."""
    done = folder / DONE
    return done.exists() and done.read_text() == what


def _run(argv: Sequence[str], *, folder: Path) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"`{' '.join(argv)}` failed in {folder}:\n{(done.stdout + done.stderr)[-2000:]}")
