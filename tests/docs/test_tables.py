"""The documents say what the code does: every setting, error, route, RPC, log line, metric and record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from broker.config import Settings, load, load_to_serve
from broker.errors import ConfigError, Kind
from broker.model.operation import AdminAction
from broker.model.record import Record
from tests.docs.made import metrics, record_types
from tests.docs.pages import AUDITORS, OPERATORS, PAGES, ROOT, blocks, code, name
from tests.docs.tables import MEANING, TABLES, VAULT_POLICIES, between, settings, vault_policies

TEXT = OPERATORS.read_text()
LOGS_OWN = {"v", "instance", "seq", "time", "kid", "sig"}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_what_the_code_says(table: str) -> None:
    page, make = TABLES[table]
    assert between(page.read_text(), table) == make(), "run: python -m tests.docs"


def test_every_setting_is_documented() -> None:
    undocumented = [setting for setting, field in settings() if not field.description]
    missing = [setting for setting, _ in settings() if f"`{setting}`" not in TEXT]
    assert (undocumented, missing) == ([], [])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {re.sub(r"<name>\.|\[\]", "", setting) for setting, _ in settings()}
    known |= {".".join(setting.split(".")[:deep]) for setting in known for deep in (1, 2)}
    sections = "|".join(sorted({setting.partition(".")[0] for setting in known}))
    named = {word for word in code(page.read_text()) if re.fullmatch(rf"({sections})(\.[a-z_]+)+", word)}
    assert {word for word in named if word not in known and not is_another_name(word)} == set()


def is_another_name(word: str) -> bool:
    """A module, a right, a file of the broker's own, or a key of policies' data."""
    path = Path(*("broker", *word.split(".")))
    role = json.loads((ROOT / "policies/schema/base.data.json").read_text())["properties"]["roles"][
        "additionalProperties"
    ]["properties"]
    table, _, key = word.partition(".")
    return (
        (ROOT / path).with_suffix(".py").exists()
        or (ROOT / path).is_dir()
        or word in {*AdminAction, "log.vkey", "objects.sqlite"}
        or key in role.get(table, {}).get("properties", {})
    )


def test_the_policies_of_deploy_are_those_that_vault_init_writes() -> None:
    assert {path: path.read_text() for path in VAULT_POLICIES.glob("*.hcl")} == vault_policies()


def test_every_error_is_explained() -> None:
    assert set(MEANING) == set(Kind)


def test_every_metric_is_documented_with_its_labels() -> None:
    watch = TEXT.split("## Watch it")[1].split("## ")[0]
    rows = [line.split("|")[1:3] for line in watch.splitlines() if line.startswith("| `")]
    told = {metric.strip(" `"): tuple(re.findall(r"`(\w+)`", labels)) for metric, labels in rows}
    assert told == metrics()


def test_every_record_type_is_written_and_explained() -> None:
    told = re.findall(
        r"^\| `(\w+)` \|", AUDITORS.read_text().split("## What each record says")[1], re.MULTILINE
    )
    assert sorted(told) == sorted(record_types())


def test_a_record_that_is_shown_has_fields_that_records_have() -> None:
    (shown,) = blocks(AUDITORS.read_text(), "json")
    assert set(re.findall(r'^  "(\w+)":', shown, re.MULTILINE)) <= {*Record._fields, *LOGS_OWN}


def test_the_complete_configuration_names_every_setting_and_loads(tmp_path: Path) -> None:
    example = example_configuration()
    path = tmp_path / "broker.toml"
    path.write_text(example)
    assert Settings.model_validate(json.loads(load(path).model_dump_json())) == load(path), (
        "as workers get it"
    )
    section, named = "", set()
    for line in example.splitlines():
        if heading := re.match(r"(?:# )?\[{1,2}([\w.-]+)\]", line):
            section = re.sub(r"^credentials\.[\w-]+", "credentials.<name>", heading[1])
            section = re.sub(r"^pools\.\w+\.members", "pools.<name>.members[]", section)
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            named.add(f"{section}.{key[1]}")
    assert named == {setting for setting, _ in settings()}


def test_the_mistakes_that_are_shown_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = TEXT.split("broker: /etc/broker/broker.toml: the configuration cannot be used")[1].split("See")[0]
    shown = shown.replace("/etc/broker/broker.toml", f"{tmp_path}/broker.toml")
    text = example_configuration().replace('"0.0.0.0:8443"', '"0.0.0.0"')
    (tmp_path / "broker.toml").write_text(text.replace("clients.pem", "client.pem"))
    monkeypatch.setenv("BROKER__UPSTREAM__ATEMPTS", "1")
    with pytest.raises(ConfigError) as caught:
        load_to_serve(tmp_path / "broker.toml")
    for line in shown.splitlines()[1:]:
        assert f"\n{line}\n" in str(caught.value)


def test_the_pool_that_is_shown_is_one(tmp_path: Path) -> None:
    shown = TEXT.split("## Many keys")[1].split("```toml\n")[1].split("```")[0]
    path = tmp_path / "broker.toml"
    path.write_text(
        example_configuration() + "\n" + shown.replace("[upstream.regions]\n", "[upstream.regions]\n")
    )
    pool = load(path).key_pools()[0]
    assert [(member.key, member.weight, member.team) for member in pool.members] == [
        ("openai-a", 3, None),
        ("openai-b", 1, None),
        ("openai-claims-eu", 1, "claims"),
    ]


@pytest.mark.parametrize(
    ("page", "way"),
    [("## Keys made for this broker", "dynamic_key"), ("## No key at all", "workload_identity")],
)
def test_a_credential_that_is_shown_is_one(tmp_path: Path, page: str, way: str) -> None:
    shown = TEXT.split(page)[1].split("```toml\n")[1].split("```")[0]
    complete = example_configuration()
    for section in re.findall(r"^\[(\w+)\]", shown, re.MULTILINE):
        complete = re.sub(rf"^\[{section}\](?s:.*?)(?=^(?:# )?\[)", "", complete, flags=re.MULTILINE)
    path = tmp_path / "broker.toml"
    path.write_text(complete + "\n" + shown)
    (credential,) = load(path).credentials.values()
    assert credential.upstream_auth == way


def example_configuration(saying: str = "") -> str:
    """The operators' broker.toml, or the first example behind it that says this."""
    first, *others = [block.split("```")[0] for block in TEXT.split("```toml\n")[1:]]
    return next(block for block in others if saying in block) if saying else first
