"""`broker objects`, beside a broker that runs and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner, Result

from broker.adapters.objects import NAME, ObjectsFile
from broker.cli.objects import app
from tests.e2e.test_operations import sdk
from tests.objects.test_foreign_objects import ask
from tests.running import RunningBroker, start_broker

CONVERSATION = "conv_made_in_the_dashboard"


def objects(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def said(*arguments: str) -> Any:
    result = objects(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_objects_are_listed_shown_adopted_and_forgotten_beside_a_running_broker(
    broker: RunningBroker,
) -> None:
    place = ("--dir", str(broker.directory))
    explorer = broker.identities["explorer"].spiffe_id
    with sdk(broker, "explorer") as client:
        made = client.responses.create(model="gpt-4o", input="remember me")
        [row] = [each for each in said("list", *place)["objects"] if each["id"] == made.id]
        assert (row["owner"], row["until"] is not None) == (explorer, True)
        shown = said("show", made.id, *place)
        assert shown["parts"] == [made.output[0].id]
        body = {"model": "gpt-4o", "input": "go on", "conversation": CONVERSATION}
        assert ask(broker, "explorer", body).status_code == 404
        assert said("adopt", CONVERSATION, "--subject", explorer, *place)["done"]
        assert "not yours" not in ask(broker, "explorer", body).text
        assert said("forget", made.id, *place)["done"]
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
    table = objects("list", *place)
    assert CONVERSATION in table.stdout
    assert explorer in table.stdout


def test_a_broker_whose_file_is_lost_knows_the_owners_after_its_start(tmp_path: Path) -> None:
    first = start_broker(tmp_path / "b")
    place = ("--dir", str(first.directory))
    explorer = first.identities["explorer"].spiffe_id
    with sdk(first, "explorer") as client:
        made = client.responses.create(model="gpt-4o", input="remember me")
    first.stop()
    file = tmp_path / "b" / "keys" / "log" / NAME
    for suffix in ("", "-wal", "-shm"):
        file.with_name(NAME + suffix).unlink(missing_ok=True)
    assert objects("list", *place).exit_code == 3  # there is none
    assert said("rebuild", *place) == {"records": 1, "objects": 2, "added": 2}
    assert said("adopt", CONVERSATION, "--subject", explorer, *place)["done"] is False
    assert said("list", *place)["wishes"][0]["id"] == CONVERSATION
    file.unlink()
    (tmp_path / "b").joinpath("keys", "log", NAME + "-wal").unlink(missing_ok=True)
    second = start_broker(tmp_path / "b")
    try:
        opened = ObjectsFile(file)
        row = opened.row(made.id)
        assert row is not None
        assert row.owner == explorer
        assert opened.parts(made.id) == [made.output[0].id]
        opened.close()
    finally:
        second.stop()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "resp_nobodys"), 1, "nobody's"),
        (("adopt", "conv_1"), 3, "--subject"),
        (("adopt", "conv_1", "--subject", "desk"), 3, "SPIFFE"),
        (("adopt", "a b", "--subject", "spiffe://a/b"), 3, "no id"),
        (("adopt", "conv_1", "--subject", "spiffe://a/b", "--owner", "x"), 3, "both"),
        (("list", "--user", "u"), 3, "--subject"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_with_what_to_try(
    broker: RunningBroker, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = objects(*arguments, "--dir", str(broker.directory))
    assert result.exit_code == code
    assert words in result.stderr


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "keys" / "log"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"no database, but long enough to look like one" * 20)
    result = objects("list", "--dir", str(tmp_path))
    assert result.exit_code == 3
    assert "move away" in result.stderr


def test_every_command_says_what_it_does() -> None:
    for command in ("list", "show", "adopt", "forget", "rebuild"):
        helped = objects(command, "--help")
        assert helped.exit_code == 0
        assert "--json" in helped.stdout
