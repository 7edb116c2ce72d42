"""The bill of materials names what the wheel runs on: the runtime dependencies of uv.lock, direct or not."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "openai-broker"


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As `make check` writes it to dist/."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        ["make", "-s", "sbom", f"DIST={folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads((folder / "sbom.json").read_text())
    return made


def test_it_is_cyclonedx_of_this_version(sbom: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    of = sbom["metadata"]["component"]
    assert (sbom["bomFormat"], of["name"], of["version"]) == ("CycloneDX", PROJECT, project["version"])


def test_it_names_every_runtime_dependency_with_its_version(sbom: dict[str, Any]) -> None:
    named = {(each["name"], each["version"]) for each in sbom["components"]}
    assert named == locked()
    assert len(named) > 40
    for each in sbom["components"]:
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"


def locked() -> set[tuple[str, str]]:
    """What the project needs, and what that needs, on any platform; extras aside."""
    packages = {each["name"]: each for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    waiting, seen = [(PROJECT, frozenset[str]())], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        package = packages[name]
        needed = package.get("dependencies", []) + [
            each for extra in extras for each in package.get("optional-dependencies", {}).get(extra, [])
        ]
        waiting += [(each["name"], frozenset(each.get("extra", ()))) for each in needed]
    return {(name, packages[name]["version"]) for name, _ in seen if name != PROJECT}
