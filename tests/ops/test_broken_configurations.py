"""Configurations that are broken in every way that the model of the settings lets one think of.

Each is a complete one with something wrong in it, made by reflection: a setting that is added is broken here,
too.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, MinLen
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from broker.adapters.pki import DevPki
from broker.adapters.policyfiles.source import shipped_policies
from broker.config import Settings, load, load_to_serve
from broker.config import files as judges
from broker.config.places import PLACES, PathSetting
from broker.config.problem import Steps, dotted
from broker.errors import ConfigError
from broker.prefilter.inspector import Inspector
from tests.commands import Done
from tests.docs.tables import settings
from tests.nursery import the_nursery

CANARY = "sk-proj-" + "Ab1_" * 12
Sections = dict[str, dict[str, Any]]
Complete = Callable[[Path], Sections]


@dataclass(frozen=True)
class Written:
    """A TOML text, and the line of each of its keys."""

    text: str
    lines: Mapping[Steps, int]


def written(sections: Mapping[str, Any]) -> Written:
    """One key on each line: independent of what finds positions in it."""
    text: list[str] = []
    lines: dict[Steps, int] = {}

    def table(at: Steps, values: Mapping[str, Any], brackets: str) -> None:
        text.append(brackets.replace("at", ".".join(step for step in at if isinstance(step, str))))
        lines[at] = len(text)
        for key, value in values.items():
            if not _is_tables(value):
                text.append(f"{json.dumps(key)} = {_value(value)}")
                lines[*at, key] = len(text)
        for key, value in values.items():
            if _is_tables(value):
                tables((*at, key), value)

    def tables(at: Steps, value: Any) -> None:
        if isinstance(value, list):
            for number, each in enumerate(value):
                table((*at, number), each, "[[at]]")
        else:
            table(at, value, "[at]")

    for name, section in sections.items():
        tables((name,), section)
    return Written("\n".join(text) + "\n", lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _value(value: Any) -> str:
    """JSON writes these values as TOML does, but for a table."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, default=str)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all files that the configurations name."""
    home = tmp_path_factory.mktemp("home")
    pki = DevPki.load_or_create(home / "pki")
    pki.server(), pki.workload("opa")
    (home / "keys").mkdir()
    (home / "password").write_text("of the store")
    (home / "file").write_text("no PEM")
    (home / "folder").mkdir()
    return home


def sealed(home: Path) -> Sections:
    """The embedded engine on a folder, the sealed store, and both other ways to have keys."""
    pki = DevPki.load_or_create(home / "pki")
    server = pki.server()
    return {
        "server": {"https": "127.0.0.1:0", "grpc": "127.0.0.1:0", "console": "127.0.0.1:0"},
        "tls": {"certificate": server.cert, "key": server.key, "client_ca": pki.ca},
        "identity": {
            "trust_domain": "dev",
            "issuer": "https://dev",
            "token_key": home / "made/token.pem",
            "token_keys": shipped_policies(),
            "certified_by": pki.ca,
        },
        "policy": {"directory": shipped_policies()},
        "shadow": {"directory": shipped_policies()},
        "keys": {"directory": home / "keys"},
        "pools": {"openai": {"members": [{"key": "a", "region": "eu"}, {"key": "b"}]}},
        "credentials": {
            "made": {"upstream_auth": "dynamic_key", "project": "p"},
            "own": {
                "upstream_auth": "workload_identity",
                "subject_token": home / "later",
                "identity_provider_id": "i",
                "service_account_id": "s",
            },
        },
        "dynamic_keys": {"instance": home / "made/instance", "ca": pki.ca},
        "workload_identity": {"ca": pki.ca},
        "state": {
            "adapter": "valkey",
            "url": "valkeys://broker@valkey.example.org:6379/0",
            "password_file": home / "password",
            "sentinel_password_file": home / "password",
            "ca": pki.ca,
            "certificate": server.cert,
            "key": server.key,
        },
        "audit": {"directory": home / "made/log", "origin": "dev/log", "keys": home / "made/log-keys"},
    }


def in_vault(home: Path) -> Sections:
    """OPA over TLS with a bundle, and the keys in Vault."""
    opa = DevPki.load_or_create(home / "pki").workload("opa")
    ca = DevPki.load_or_create(home / "pki").ca
    sections = sealed(home)
    del sections["credentials"], sections["shadow"]
    return sections | {
        "policy": {"adapter": "opa", "bundle": home / "later", "verification_key": home / "later"},
        "opa": {"url": "https://localhost:8181", "ca": ca, "certificate": opa.cert, "key": opa.key},
        "keys": {"adapter": "vault"},
        "vault": {
            "addresses": ["https://vault:8200"],
            "ca": ca,
            "role_id": "r",
            "wrapped_secret_id": home / "later",
        },
    }


def issued(home: Path) -> Sections:
    """A bundle for the embedded engine, and a certificate that Vault issues."""
    sections = in_vault(home)
    sections["policy"] = {"bundle": home / "file", "verification_key": home / "file"}
    sections["tls"] |= {"certificate": home / "made/server.pem", "key": home / "made/server.key"}
    sections["vault"] |= {"pki_role": "broker", "server_names": ["localhost"], "auth": "cert"}
    sections["vault"] |= {"certificate": home / "later", "key": home / "later"}
    return sections


COMPLETE = (sealed, in_vault, issued)


@pytest.mark.parametrize("complete", COMPLETE)
def test_the_complete_ones_are_whole(
    home: Path, tmp_path: Path, complete: Callable[[Path], Sections]
) -> None:
    (tmp_path / "broker.toml").write_text(written(complete(home)).text)
    load_to_serve(tmp_path / "broker.toml")


def refusal(folder: Path, text: str) -> str:
    """What is said of it; whatever it is, it is a ConfigError."""
    path = folder / "broker.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_to_serve(path)
    return str(caught.value)


def put(sections: Sections, at: Steps, value: object) -> None:
    here: Any = sections
    for step in at[:-1]:
        here = here.setdefault(step, {}) if isinstance(step, str) else here[step]
    here[at[-1]] = value


# Each value

NAMES: dict[str, Steps] = {
    "pools.<name>.members[]": ("pools", "openai", "members", 1),
    "credentials.<name>": ("credentials", "made"),
}


def place_of(name: str) -> Steps:
    """Where `sealed` has, or may have, the setting of this name."""
    section, _, key = name.rpartition(".")
    return (*NAMES.get(section, (section,)), key)


FIELDS = {place_of(name): field for name, field in settings()}


def wrong_type(field: FieldInfo) -> object:
    kinds = {field.annotation, *get_args(field.annotation)}
    return "of no use" if {int, float, bool} & kinds else 7


def out_of_bounds(field: FieldInfo) -> Iterator[object]:
    """A value beyond each bound, and one that has none of the forms that a setting can have."""
    composed: dict[Any, object] = {tuple: ["\x7f"], dict: {"a": "\x7f"}}
    formless = composed.get(get_origin(field.annotation), "\x7f")
    if field.annotation is int:
        yield 10**30
    if field.annotation is float:
        yield math.nan
    for bound in field.metadata:
        match bound:
            case Ge(ge=int() | float() as limit):
                yield limit - 1
            case Gt(gt=int() | float() as limit):
                yield limit
            case Le(le=int() | float() as limit):
                yield limit + 1
            case MinLen():
                yield ""
            case _ if isinstance(bound, AfterValidator) or getattr(bound, "pattern", None):
                yield formless
    if get_origin(field.annotation) is Literal:
        yield "of no use"


VALUES = [(at, value) for at, field in FIELDS.items() for value in (wrong_type(field), *out_of_bounds(field))]


@pytest.mark.parametrize(("at", "value"), VALUES, ids=[f"{dotted(at)}={value!r}" for at, value in VALUES])
def test_a_wrong_value_is_told_with_its_line(home: Path, tmp_path: Path, at: Steps, value: object) -> None:
    sections = sealed(home)
    put(sections, at, value)
    made = written(sections)
    said = refusal(tmp_path, made.text)
    assert f"\n  {tmp_path}/broker.toml:{made.lines[at]}: {dotted(at)}: " in said
    assert ", 1 mistake:" in said, "what is right elsewhere is not complained of"


def test_every_value_wrong_at_once_is_told_at_its_line(home: Path, tmp_path: Path) -> None:
    sections = sealed(home)
    for at, field in FIELDS.items():
        put(sections, at, wrong_type(field))
    made = written(sections)
    said = refusal(tmp_path, made.text)
    for at in FIELDS:
        assert f"\n  {tmp_path}/broker.toml:{made.lines[at]}: {dotted(at)}: " in said
    assert f", {len(FIELDS)} mistakes:" in said


VARIABLES = [at for at in FIELDS if not any(isinstance(step, int) for step in at)]  # a list is given whole


@pytest.mark.parametrize("at", VARIABLES, ids=dotted)
def test_a_variable_that_is_wrong_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Steps
) -> None:
    variable = f"BROKER__{'__'.join(map(str, at))}".upper()
    values = [wrong_type(FIELDS[at]), *out_of_bounds(FIELDS[at])]
    told = [value for value in values if not (isinstance(value, int) and _takes_text(FIELDS[at]))]
    for value in told:
        monkeypatch.setenv(variable, value if isinstance(value, str) else _value(value))
        said = refusal(tmp_path, written(sealed(home)).text)
        assert f"\n  {variable}: {dotted(at)}: " in said
        assert ", 1 mistake:" in said


def _takes_text(field: FieldInfo) -> bool:
    """Whether 7 is a text or a path in a variable, where it is a number in TOML."""
    return {str, Path} & {field.annotation, *get_args(field.annotation)} != set() and get_origin(
        field.annotation
    ) not in (tuple, dict)


# Keys

SECTIONS = sorted({at[:-1] for at in FIELDS}, key=str)


def test_an_unknown_key_of_every_section_is_told_with_its_line_and_the_nearest(
    home: Path, tmp_path: Path
) -> None:
    sections = sealed(home)
    for section in SECTIONS:
        first = next(at[-1] for at in FIELDS if at[:-1] == section)
        put(sections, (*section, f"{first}x"), CANARY)
    made = written(sections)
    said = refusal(tmp_path, made.text)
    for section in SECTIONS:
        first = next(str(at[-1]) for at in FIELDS if at[:-1] == section)
        at = (*section, f"{first}x")
        place = f"\n  {tmp_path}/broker.toml:{made.lines[at]}: {dotted(at)}: "
        assert f"{place}no such setting. Did you mean {first}?" in said
    assert CANARY not in said


def test_a_key_of_another_section_is_told_where_it_belongs(home: Path, tmp_path: Path) -> None:
    sections = sealed(home)
    put(sections, ("server", "client_ca"), "/x")
    assert "server.client_ca: no such setting. Did you mean tls.client_ca?" in refusal(
        tmp_path, written(sections).text
    )


REQUIRED = [at for at, field in FIELDS.items() if field.is_required()]


@pytest.mark.parametrize("at", REQUIRED, ids=dotted)
def test_a_missing_key_is_told_at_its_table(home: Path, tmp_path: Path, at: Steps) -> None:
    sections: Any = sealed(home)
    here = sections
    for step in at[:-1]:
        here = here[step]
    del here[at[-1]]
    made = written(sections)
    said = refusal(tmp_path, made.text)
    assert f"\n  {tmp_path}/broker.toml:{made.lines[at[:-1]]}: {dotted(at)}: missing" in said


# Paths


def test_every_path_of_the_settings_is_looked_at() -> None:
    paths = {name for name, field in settings() if Path in {field.annotation, *get_args(field.annotation)}}
    assert paths == {place.name for place in PLACES} | {"credentials.<name>.subject_token"}


NEVER_A_FOLDER = (judges.read_file, judges.later_file, judges.made_file, judges.certificates)
MUST_BE_THERE = (judges.read_file, judges.read_folder, judges.certificates)
MADE = (judges.made_file, judges.made_folder, judges.later_folder)


def flaws(place: PathSetting) -> Iterator[tuple[str, str]]:
    """Paths below `home` that cannot be right there, and what is said of each."""
    if place.judge in NEVER_A_FOLDER:
        yield "folder", "is a folder, where a file is needed"
    else:
        yield "file", "is a file, where a folder is needed"
    if place.judge in MUST_BE_THERE:
        yield "none", "is not there"
        yield "file/none", "is not there"
    if place.judge in MADE:
        yield "file/new/one", "is no folder"
    if place.judge is judges.certificates:
        yield "file", "holds no certificate in PEM"


PATHS = [(place, path, told) for place in PLACES for path, told in flaws(place)]


@pytest.mark.parametrize(
    ("place", "path", "told"), PATHS, ids=[f"{place.name}={path}" for place, path, _ in PATHS]
)
def test_a_path_that_cannot_be_right_is_told_with_its_line(
    home: Path, tmp_path: Path, place: PathSetting, path: str, told: str
) -> None:
    at = place_of(place.name)
    sections = next(one for one in (complete(home) for complete in COMPLETE) if _used(place, one))
    put(sections, at, home / path)
    made = written(sections)
    said = refusal(tmp_path, made.text)
    line = made.lines[at]
    assert f"\n  {tmp_path}/broker.toml:{line}: {place.name}: {home / path} " in said
    assert told in said
    assert ", 1 mistake:" in said


def _used(place: PathSetting, sections: Sections) -> bool:
    settings = Settings.model_validate(sections)
    at = place.name.split(".")
    return place.when(settings) and (at[1] in sections.get(at[0], {}) or at[1] in {"jwt", "kept_secret_id"})


def test_every_path_missing_is_told_at_once(home: Path, tmp_path: Path) -> None:
    sections, wrong = sealed(home), {}
    for place in PLACES:
        settings = Settings.model_validate(sections)
        if place.when(settings) and place.judge in MUST_BE_THERE and place.name.split(".")[1] != "bundle":
            wrong[place_of(place.name)] = place.name
    for at in wrong:
        put(sections, at, home / "none")
    put(sections, ("server", "https"), "nowhere")
    made = written(sections)
    said = refusal(tmp_path, made.text)
    for at, name in wrong.items():
        assert f"\n  {tmp_path}/broker.toml:{made.lines[at]}: {name}: {home}/none is not there" in said
    assert f":{made.lines['server', 'https']}: server.https: " in said
    assert f", {len(wrong) + 1} mistakes:" in said


@pytest.mark.parametrize("at", [("opa", "key"), ("tls", "key")], ids=dotted)
def test_a_certificate_and_a_key_that_do_not_belong_together_are_told(
    home: Path, tmp_path: Path, at: Steps
) -> None:
    sections = in_vault(home)
    put(sections, at, DevPki.load_or_create(home / "pki").workload("another").key)
    made = written(sections)
    said = refusal(tmp_path, made.text)
    assert f"\n  {tmp_path}/broker.toml:{made.lines[at]}: {dotted(at)}: " in said
    assert "is no plain private key (PEM) of that certificate" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read whatever it likes")
def test_a_path_that_may_not_be_read_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch(0o000)
    sections = sealed(home)
    put(sections, ("tls", "key"), tmp_path / "key.pem")
    assert "cannot be read by this user" in refusal(tmp_path, written(sections).text)


# Phrases


@pytest.mark.parametrize("name", ["banned_topics", "injection_phrases"])
@pytest.mark.parametrize(
    "phrases",
    [["x" * 401], ["\ufdfa" * 100], [f"word{number:05}" for number in range(1200)], ["a b " * 90] * 9],
)
def test_phrases_that_the_matcher_cannot_take_are_told(
    home: Path, tmp_path: Path, name: str, phrases: list[str]
) -> None:
    sections = sealed(home)
    put(sections, ("content", name), [f"{number} {phrase}" for number, phrase in enumerate(phrases)])
    made = written(sections)
    said = refusal(tmp_path, made.text)
    assert f"\n  {tmp_path}/broker.toml:{made.lines['content', name]}: content.{name}: " in said
    assert "Give fewer, or shorter ones." in said


def test_phrases_that_are_taken_can_be_looked_for(home: Path, tmp_path: Path) -> None:
    """At the bounds, deeper in the stack than a start is."""
    phrases = ["x" * 400, *(f"word{number:05}" for number in range(900)), "", "(", "\u200b"]
    sections = sealed(home)
    put(sections, ("content", "banned_topics"), phrases)
    (tmp_path / "broker.toml").write_text(written(sections).text)
    content = load_to_serve(tmp_path / "broker.toml").content
    Inspector(content.banned_topics, content.injection_phrases)


# Secrets, and whatever else


def test_a_secret_pasted_anywhere_is_not_repeated(home: Path, tmp_path: Path) -> None:
    """As each value, as the name of a key, a section and a table of the operator's."""
    for at, field in FIELDS.items():
        sections = sealed(home)
        listed = get_origin(field.annotation) is tuple
        named = get_origin(field.annotation) is dict
        put(sections, at, [CANARY] if listed else {CANARY: CANARY} if named else CANARY)
        put(sections, (*at[:-1], CANARY), CANARY)
        put(sections, (CANARY, CANARY), CANARY)
        sections["pools"][CANARY] = {"members": []}
        assert CANARY[:14] not in refusal(tmp_path, written(sections).text)


@given(text=st.text(alphabet="[]{}.=\"'\n abtls0_-\\#,", max_size=60) | st.binary(max_size=40))
def test_whatever_a_file_holds_it_is_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "whatever.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError):
        load(path)


# Commands


def run(*words: object) -> Done:
    return the_nursery().spawn(*map(str, words)).done()


COMMANDS: dict[tuple[str, ...], int] = {
    ("serve",): 3,
    ("doctor",): 1,  # what it checked is bad
    ("keys", "list"): 3,
    ("objects", "list"): 3,
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_tells_every_mistake_and_ends_as_documented(
    home: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    sections = sealed(home)
    put(sections, ("server", "https"), "localhost")
    put(sections, ("log", "level"), 7)
    put(sections, ("serverr", "https"), CANARY)
    put(sections, ("tls", "key"), home / "none.pem")
    made = written(sections)
    (tmp_path / "broker.toml").write_text(made.text)
    done = run(*command, "--config", tmp_path / "broker.toml")
    said = done.stderr + done.stdout
    assert done.returncode == COMMANDS[command], said
    assert "Traceback" not in said
    for at in (("server", "https"), ("log", "level"), ("serverr",)):
        assert f"{tmp_path}/broker.toml:{made.lines[at]}: {dotted(at)}: " in said
    tells_paths = command in {("serve",), ("doctor",)}
    assert (f":{made.lines['tls', 'key']}: tls.key: {home}/none.pem is not there" in said) is tells_paths
    assert CANARY not in said
