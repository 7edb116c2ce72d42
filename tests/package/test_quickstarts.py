"""The quick starts for Node and Go run as they stand, with the packages that they name, where these are.

Go's take minutes to build, so they run at full size only (`make soak`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.test_examples import SERVICES, here
from tests.running import RunningBroker
from tests.sizes import FULL

NODE = blocks((SERVICES / "node.md").read_text(), "js")
GO = blocks((SERVICES / "go.md").read_text(), "go")
SAID = ("Echo: What is a broker?", "Echo: Say hello.")


@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node here")
@pytest.mark.parametrize("number", range(len(NODE)))
def test_an_example_for_node_runs(broker: RunningBroker, tmp_path: Path, number: int) -> None:
    install = blocks((SERVICES / "node.md").read_text(), "")[number].splitlines()[0].split()
    assert install[:2] == ["npm", "install"]
    (tmp_path / "package.json").write_text("{}")
    run([*install, "--silent", "--no-audit", "--no-fund"], tmp_path)
    (tmp_path / "protos").symlink_to(SERVICES)
    (tmp_path / "example.mjs").write_text(here(NODE[number], broker))
    assert SAID[number] in run(["node", "example.mjs"], tmp_path)


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go here")
def test_the_examples_for_go_are_as_gofmt_writes_them(tmp_path: Path) -> None:
    for number, program in enumerate(GO):
        (tmp_path / f"{number}.go").write_text(program)
    assert run(["gofmt", "-l", "."], tmp_path) == ""


@pytest.mark.servers
@pytest.mark.skipif(not FULL or shutil.which("go") is None, reason="no Go here, or not at full size")
@pytest.mark.parametrize(("number", "said"), [(0, "Echo: What is a broker?"), (1, "Echo: Say hello.")])
def test_an_example_for_go_runs(broker: RunningBroker, tmp_path: Path, number: int, said: str) -> None:
    """The first with OpenAI's SDK; the second with stubs that buf generates."""
    page = (SERVICES / "go.md").read_text()
    run(["go", "mod", "init", "example"], tmp_path)
    (tmp_path / "main.go").write_text(here(GO[number], broker))
    if number:
        (tmp_path / "buf.gen.yaml").write_text(blocks(page, "yaml")[0])
        for line in blocks(page, "")[1].splitlines()[:2]:
            run(line.split(), tmp_path)
        run([str(ROOT / ".tools/bin/buf"), "generate", str(SERVICES)], tmp_path)
    run(["go", "mod", "tidy"], tmp_path)
    assert said in run(["go", "run", "."], tmp_path)


def run(words: list[str], folder: Path) -> str:
    """What the command prints; a test fails with what it says where it fails."""
    own = folder / "bin"
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "GOBIN": str(own), "GOFLAGS": "-mod=mod", "PATH": f"{own}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
