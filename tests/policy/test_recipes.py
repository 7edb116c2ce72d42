"""The recipes of policies/README.md work as they stand, on a company's own trust domain."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.adapters.pki import DevPki
from broker.cli.main import app
from tests.opa.sidecar import opa_binary
from tests.policy.recipes import COMPANY, TRYING, Addition, Shell, Step, add, missing, recipes, shell
from tests.ports import free_port

ALL = recipes()
CHANGES = [title for title in ALL if title not in {COMPANY, TRYING}]
PORTS = ("8443", "8444", "8445", "8449")


def test_there_is_a_recipe_for_each_usual_change() -> None:
    assert list(ALL)[:2] == [COMPANY, TRYING]
    assert CHANGES == [
        "A team on one model, with a ceiling, in office hours",
        "A budget for the team, and one for each user",
        "Block cards, but redact e-mail",
        "A new workload",
        "Break the glass",
        "From a denial to the rule, and from a change to all machines",
    ]


@pytest.mark.parametrize("title", CHANGES)
def test_a_recipe_does_what_it_says(tmp_path: Path, title: str) -> None:
    recipe = ALL[title]
    steps = ALL[COMPANY].steps + (ALL[TRYING].steps if recipe.calls else ()) + recipe.steps
    _certificates(tmp_path, title)
    ports = {written: str(free_port()) for written in PORTS}
    with shell(tmp_path, born=title != CHANGES[0]) as typing:  # one has the console script
        for step in steps:
            _follow(tmp_path, typing, step, ports)


def _certificates(folder: Path, title: str) -> None:
    """What a company's issuer would have put there: the broker's, and one of each workload of the recipe."""
    pki = DevPki.load_or_create(folder / "pki", "example.org")
    pki.server()
    granted = {name for step in ALL[title].steps if isinstance(step, Addition) for name in _granted(step)}
    for tenant, name in granted:
        who = pki.workload(name, tenant)
        shutil.copy(who.cert, folder / f"pki/{name}.pem")
        shutil.copy(who.key, folder / f"pki/{name}.key")


def _granted(step: Addition) -> list[tuple[str, str]]:
    return re.findall(r'"spiffe://example\.org/ns/(\w+)/sa/(\w+)": \{"role"', step.text)


def _follow(folder: Path, typing: Shell, step: Step, ports: dict[str, str]) -> None:
    def here(text: str) -> str:
        return re.sub(r"\b(844[3459])\b", lambda found: ports[found[1]], text)

    if isinstance(step, Addition):
        add(folder, Addition(step.file, step.language, here(step.text)))
        return
    lines = typing.says(here(step.typed))
    absent = missing(step.said, lines)
    if absent is not None:
        served = "".join(path.read_text()[-2000:] for path in folder.glob("serve.*"))
        pytest.fail(f"$ {step.typed}\nwanted: {absent}\nsaid: {chr(10).join(lines)}\nserved: {served}")


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """The company's set with all recipes in it."""
    acme = tmp_path / "acme"
    made = CliRunner().invoke(app, ["policy", "init", "--trust-domain", "example.org", str(acme)])
    assert made.exit_code == 0, made.output
    for step in (step for title in ALL for step in ALL[title].steps):
        if isinstance(step, Addition) and step.file.startswith("acme/"):
            add(tmp_path, step)
    return acme


@pytest.mark.servers
@pytest.mark.parametrize("word", ["check", "test"])
def test_all_recipes_together_hold_in_both_engines(everything: Path, word: str) -> None:
    done = CliRunner().invoke(app, ["policy", word, str(everything), "--opa", opa_binary(), "--json"])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["verdict"], said.get("failures", [])) == (0, "good", [])
