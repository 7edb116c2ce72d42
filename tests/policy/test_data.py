"""Data that says something else than its author means is refused, everywhere, with file, line and remedy."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.adapters.policyfiles import datacheck
from broker.adapters.policyfiles.bundle import build
from broker.adapters.policyfiles.datacheck import mistakes_in_data
from broker.adapters.policyfiles.known import BODY_FIELDS, known_names
from broker.adapters.policyfiles.source import read_policies
from broker.adapters.rego import EmbeddedAuthorizer
from broker.errors import BrokerError
from broker.listeners.fields import OPTIONAL, REQUIRED
from broker.model.operation import Operation
from broker.prefilter.rules import rules
from tests.policy.engines import POLICIES, WITH_FIXTURE

Data = dict[str, Any]
OURS: Data = json.loads((WITH_FIXTURE / "data.json").read_text())
CLERK = "spiffe://dev.broker/ns/demo/sa/clerk"


def _move(table: Data, name: str, other: str) -> None:
    table[other] = table.pop(name)


def _clerk(edit: Callable[[Data], object]) -> Callable[[Data], object]:
    return lambda data: edit(data["roles"]["clerk"])


def _limit(edit: Callable[[Data], object]) -> Callable[[Data], object]:
    return _clerk(lambda role: edit(role["limits"]["requests/minute"]))


def _window(**fields: object) -> Callable[[Data], object]:
    return _clerk(lambda role: role["requires"]["windows"][0].update(fields))


FAILED_OPEN: dict[str, tuple[Callable[[Data], object], str, str]] = {
    "require for requires": (_clerk(lambda r: _move(r, "requires", "require")), '"require"', "`requires`"),
    "limit_by for limits_by": (
        _clerk(lambda r: _move(r, "limits_by", "limit_by")),
        '"limit_by"',
        "`limits_by`",
    ),
    "a role typo": (lambda d: d["grants"][CLERK].update(role="clrek"), '"clrek"', "`clerk`"),
    "a model-set typo": (_clerk(lambda r: r["operations"].update(chat="gtp-4o")), '"gtp-4o"', "`gpt-4o`"),
    "an operation typo": (
        _clerk(lambda r: _move(r["operations"], "embeddings", "embedings")),
        '"embedings"',
        "`embeddings`",
    ),
    "a cap as text": (_limit(lambda limit: limit.update(cap="600")), '"600"', "whole number"),
    "8:00": (_window(**{"from": "8:00"}), '"8:00"', '"08:00"'),
    "Mon": (_window(days=["Mon"]), '"Mon"', "1 (Monday)"),
    "the unit usd": (_limit(lambda limit: limit.update(unit="usd")), '"usd"', "micro_usd"),
    "pii.emial": (
        lambda d: d["content"]["standard"].update({"pii.emial": "redact"}),
        '"pii.emial"',
        "`pii.email`",
    ),
    "the action mask": (lambda d: d["content"]["standard"].update(pii="mask"), '"mask"', "block, redact"),
    "a missing window_seconds": (
        _limit(lambda limit: limit.pop("window_seconds")),
        '"requests/minute"',
        "`window_seconds`",
    ),
    "two windows": (
        _limit(lambda limit: limit.update(calendar="day")),
        '"calendar"',
        "one of them",
    ),
    "a window of what is held": (
        _limit(lambda limit: limit.update(unit="concurrent_streams")),
        '"window_seconds"',
        "Remove it",
    ),
    "what fits into a limit of requests": (
        _limit(lambda limit: limit.update(fit=True)),
        '"fit"',
        "Remove it",
    ),
    "what fits into a limit that refuses nothing": (
        _limit(lambda limit: limit.update(unit="tokens", fit=True, observe=True)),
        '"fit"',
        "Remove it",
    ),
    "a warning of what is held": (
        _limit(
            lambda limit: (
                limit.update(unit="concurrent_calls", warn_percent=90) or limit.pop("window_seconds")
            )
        ),
        '"warn_percent"',
        "Remove it",
    ),
    "a machine's own time zone": (
        _limit(
            lambda limit: limit.update(calendar="day", time_zone="localtime") or limit.pop("window_seconds")
        ),
        '"localtime"',
        "It may be",
    ),
    "a name that no record holds": (
        _clerk(lambda role: _move(role["limits"], "requests/minute", "n" * 129)),
        "n" * 129,
        "128 characters",
    ),
    "a zone without a calendar": (
        _limit(lambda limit: limit.update(time_zone="UTC")),
        '"time_zone"',
        "`calendar`",
    ),
    "a time zone typo": (
        _limit(
            lambda limit: (
                limit.update(calendar="day", time_zone="Europe/Berlni") or limit.pop("window_seconds")
            )
        ),
        '"time_zone"',
        "`Europe/Berlin`",
    ),
    "a calendar typo": (
        _limit(lambda limit: limit.update(calendar="mouth") or limit.pop("window_seconds")),
        '"calendar"',
        "month",
    ),
    "a table of its own making": (lambda d: d.update(grant={}), '"grant"', "`grants`"),
    "a team that is not there": (lambda d: d["grants"][CLERK].update(team="clams"), '"clams"', "`claims`"),
    "a placement's team": (
        lambda d: d["roles"]["resident"]["placement"].update(team="clams"),
        '"clams"',
        "`claims`",
    ),
    "an admin action typo": (
        lambda d: d["roles"]["operator"]["admin"].update({"token.revok": True}),
        '"token.revok"',
        "`token.revoke`",
    ),
    "a ceiling typo": (
        _clerk(lambda r: _move(r["requires"]["ceilings"], "temperature", "temprature")),
        '"temprature"',
        "`temperature`",
    ),
    "a cap by another name": (
        _clerk(lambda r: r["shape"]["caps"].update(max_completion_tokens=9)),
        '"max_completion_tokens"',
        "max_tokens",
    ),
    "a stripped field typo": (
        _clerk(lambda r: r["shape"]["strip"].append("logit_bais")),
        '"logit_bais"',
        "`logit_bias`",
    ),
    "a cut rule typo": (lambda d: d["response"]["cut"].append("secrets.*"), '"secrets.*"', "`secret.*`"),
    "a severity typo": (
        lambda d: d["content"]["by-severity"].update({"severity:hihg": "block"}),
        '"severity:hihg"',
        "`severity:high`",
    ),
    "a window that ends before it begins": (_window(to="07:00"), '"07:00"', "24:00"),
    "an emergency without end": (lambda d: d["break_glass"][CLERK].update(until="never"), '"never"', "2026"),
    "an emergency on no day": (
        lambda d: d["break_glass"][CLERK].update(until="2026-02-31T18:00Z"),
        '"2026-02-31T18:00Z"',
        "2026",
    ),
    "a SPIFFE ID typo": (
        lambda d: d["grants"].update({"spifee://x/y": {"role": "clerk"}}),
        '"spifee://x/y"',
        "SPIFFE",
    ),
    "one limit twice": (
        _clerk(lambda r: r["limits_by"]["team"].update(r["limits"])),
        '"requests/minute"',
        "name of its own",
    ),
    "a negative ceiling": (_clerk(lambda r: r["requires"]["ceilings"].update(n=-1)), "-1", "0 or more"),
    "a pin of no operation": (_clerk(lambda r: r["pins"].update(edit="gpt-4o")), '"edit"', "`edits`"),
    "a number of days": (_window(days=[8]), "8", "7 (Sunday)"),
    "a null": (_clerk(lambda r: r.update(cache_for=None)), "null", "whole"),
    "a name that is not granted": (
        lambda d: d["models"]["any"]["exact"].update({"gpt-5": False}),
        "false",
        "true",
    ),
    "a pattern of many stars": (
        lambda d: d["models"]["any"]["patterns"].append("a*a*a*a*b"),
        '"a*a*a*a*b"',
        "three *",
    ),
    "many stars in what a role reaches": (
        lambda d: d["roles"]["explorer"]["reaches"]["patterns"].append("tool:*a*a*a*"),
        '"tool:*a*a*a*"',
        "three *",
    ),
    "many stars in the users of a grant": (
        lambda d: d["grants"][CLERK].update(users={"exact": {}, "patterns": ["****"]}),
        '"****"',
        "three *",
    ),
    "many stars in the users of a role": (
        _clerk(lambda r: r["token"].update(users={"exact": {}, "patterns": ["*-*-*-*"]})),
        '"*-*-*-*"',
        "three *",
    ),
    "a pattern that is too long": (
        lambda d: d["models"]["any"]["patterns"].append("a" * 4097),
        "aaaa",
        "4096",
    ),
    "a pattern nobody reads so": (
        lambda d: d["models"]["any"]["patterns"].append("gpt-[45]"),
        '"gpt-[45]"',
        "*",
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WITH_FIXTURE, tmp_path / "policies"))


def _write(folder: Path, data: Data) -> None:
    (folder / "data.json").write_text(json.dumps(data, indent=1))


def _edited(edit: Callable[[Data], object]) -> Data:
    data = copy.deepcopy(OURS)
    edit(data)
    return data


@pytest.mark.parametrize("name", FAILED_OPEN)
def test_data_that_failed_open_is_refused_with_file_line_and_remedy(folder: Path, name: str) -> None:
    edit, told, remedy = FAILED_OPEN[name]
    _write(folder, _edited(edit))
    mistakes = mistakes_in_data(read_policies(folder))
    assert [each.file for each in mistakes] == ["data.json"]
    line = (folder / "data.json").read_text().splitlines()[mistakes[0].line - 1]
    assert told in line
    assert remedy in mistakes[0].remedy
    with pytest.raises(BrokerError, match=rf"^data\.json:{mistakes[0].line}: "):
        EmbeddedAuthorizer(folder)


def test_all_mistakes_of_a_file_are_told_at_once_also_keys_that_are_there_twice(folder: Path) -> None:
    text = (
        (folder / "data.json")
        .read_text()
        .replace('"requires"', '"require"')
        .replace('"limits_by"', '"limit_by"')
    )
    text = text.replace('"clerk": {', '"clerk": {"pins": {},', 1)
    (folder / "data.json").write_text(text)
    told = [str(each) for each in mistakes_in_data(read_policies(folder))]
    assert sum("require" in each for each in told) == 3  # of the clerk, the modest and the stripped
    assert sum("limit_by" in each for each in told) == 2  # of the clerk and of the kiosk
    assert sum("`pins` is there twice" in each for each in told) == 1
    with pytest.raises(BrokerError, match="and 5 more"):
        EmbeddedAuthorizer(folder)


def test_mistaken_data_is_not_built(folder: Path, tmp_path: Path) -> None:
    _write(folder, _edited(FAILED_OPEN["require for requires"][0]))
    with pytest.raises(BrokerError, match=r"data\.json:\d+: .*require"):
        build(folder, b"", "first")


def test_data_of_ones_own_is_free_below_own_and_held_to_its_schema_elsewhere(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own/data.json").write_text('{"holidays": {"2026-12-25": true}}')
    (folder / "fleet").mkdir()
    (folder / "fleet/data.json").write_text('{\n"size": "many"}')
    (told,) = mistakes_in_data(read_policies(folder))
    assert (told.file, "`own`" in told.remedy, "schema/fleet.data.json" in told.remedy) == (
        "fleet/data.json",
        True,
        True,
    )
    (folder / "schema/fleet.data.json").write_text(
        '{"title": "the fleet", "properties": {"size": {"type": "integer"}}}'
    )
    (told,) = mistakes_in_data(read_policies(folder))
    assert (told.file, told.line) == ("fleet/data.json", 2)
    (folder / "fleet/data.json").write_text('{"size": 3}')
    assert mistakes_in_data(read_policies(folder)) == []
    (folder / "schema/base.data.json").unlink()  # then the one of the release
    assert mistakes_in_data(read_policies(folder)) == []


def test_the_shipped_data_is_without_a_mistake() -> None:
    assert mistakes_in_data(read_policies(POLICIES)) == []


def test_the_explorer_may_use_every_operation() -> None:
    shipped = json.loads((POLICIES / "data.json").read_text())
    assert shipped["roles"]["explorer"]["operations"].keys() == set(Operation)


def test_what_the_broker_knows_is_known_to_data() -> None:
    fields = {name for table in (REQUIRED, OPTIONAL) for known in table.values() for name in known}
    assert fields <= BODY_FIELDS
    assert {rule.id for rule in rules(("x",))} <= set(known_names()["finding"])
    numbers = json.loads((POLICIES / "schema/base.data.json").read_text())
    assert set(numbers["definitions"]["bounds"]["properties"]) <= fields | {"max_tool_calls"}


def _places(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*place, key)
            yield from _places(child, (*place, key))


def _at(data: object, place: tuple[str | int, ...]) -> Any:
    for step in place:
        data = data[step]  # type: ignore[index]
    return data


# What an author names freely: a name that is spelt otherwise is another name.
_FREE_KEYS = {("grants",), ("roles",), ("models",), ("content",), ("teams",), ("break_glass",)}
_FREE_BELOW = {"exact", "lent", "limits", "team", "user", "aliases"}
_FREE_VALUES = {
    "approved_by",
    "region",
    "pins",
    "aliases",
    "patterns",
    "weekdays",
    "description",
    "credential",
}


def _mutations(place: tuple[str | int, ...], value: object) -> Iterator[tuple[str, object]]:
    """Wrong kinds, wrong units, dangling names and misspelt keys, of one place."""
    *parents, last = place
    free = tuple(parents) in _FREE_KEYS or (parents and parents[-1] in _FREE_BELOW)
    if isinstance(last, str) and not free:
        yield "a key is misspelt", last + "x"
        yield "a key too many", ...
    wrong: tuple[object, ...] = (None, 7, True, "nonsense", [], {}, 1.5, ["x"], {"x": 1})
    for other in wrong:
        if type(other) is not type(value) or (
            isinstance(value, str) and not _FREE_VALUES & set(map(str, place))
        ):
            yield "a value is of another kind, or names nothing", other


def _mutated() -> Iterator[tuple[str, Data]]:
    small = dict(OURS)
    small["grants"] = {key: value for key, value in small["grants"].items() if "dev.broker" in key}
    written = orjson.dumps(small)
    for place in _places(small):
        for what, other in _mutations(place, _at(small, place)):
            data = orjson.loads(written)
            holder = _at(data, place[:-1])
            if what == "a key is misspelt":
                holder[other] = holder.pop(place[-1])
            elif what == "a key too many":
                holder["unheard_of"] = 1
            else:
                holder[place[-1]] = other
            yield f"{place}: {what}: {other!r}", data


def test_every_mutation_of_valid_data_is_refused_or_means_the_same(folder: Path) -> None:
    """Reflection over all keys and values of the data that uses every feature."""
    source = read_policies(folder)
    passed, count = [], 0
    for name, data in _mutated():
        count += 1
        if not any(datacheck._faults(replace(source, base=data, data_files=()))):  # the first is enough
            passed.append(name)
    assert count > 3000
    assert passed == []
