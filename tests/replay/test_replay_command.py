"""`broker policy replay`, as a process on real logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker.errors import Kind
from tests.replay.support import (
    ALICE,
    BOB,
    allowed,
    broker,
    denied,
    no_right,
    no_token,
    policies,
    reported,
    said,
    token,
    written,
)

MODELS = {"gpt-4o": [ALICE]}


async def test_equal_verdicts_exit_0(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"), denied("c2", BOB), token("c3"), no_right("c4"))
    code, found = reported(
        "replay", "--log", log, "--policies", policies(tmp_path / "p", models=MODELS, tokens=[ALICE])
    )
    assert (code, found["verdict"]) == (0, "good")
    assert (found["compared"], found["agreed"], found["agreed_by_another_rule"]) == (4, 4, 4)


async def test_flips_both_ways_are_told_by_rule_subject_and_model(tmp_path: Path) -> None:
    records = [allowed(f"a{n}", BOB) for n in range(5)] + [denied(f"d{n}", model="o1") for n in range(2)]
    log = await written(tmp_path, *records, denied("d9", model="o3"))
    candidate = policies(tmp_path / "p", models={"gpt-4o": [ALICE], "o1": [ALICE], "o3": [ALICE]})
    code, report = reported("replay", "--log", log, "--policies", candidate, "--samples", 2)
    flips: Any = report["flips"]
    assert (code, report["verdict"], report["uncovered"]) == (1, "bad", 3)
    assert flips["allow_to_deny"]["groups"] == [
        {
            "point": "calls",
            "rule": "granted",
            "candidate_rule": "stranger",
            "subject": BOB,
            "operation": "chat",
            "model": "gpt-4o",
            "count": 5,
            "samples": ["a0", "a1"],
            "reviewed_by": None,
        }
    ]
    widened = flips["deny_to_allow"]
    assert (widened["count"], widened["by_model"], widened["by_rule"]) == (
        3,
        {"o1": 2, "o3": 1},
        {"not_granted": 3},
    )
    assert [(group["model"], group["samples"]) for group in widened["groups"]] == [
        ("o1", ["d0", "d1"]),
        ("o3", ["d9"]),
    ]
    printed = broker("replay", "--log", log, "--policies", candidate).stdout
    for line in ("DENY→ALLOW: 3", "ALLOW→DENY: 5", "by model: o1 2, o3 1", "bad: 3 decisions turn"):
        assert line in printed


async def test_allow_to_deny_alone_exits_0(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"))
    code, report = reported("replay", "--log", log, "--policies", policies(tmp_path / "p", models={}))
    flips: Any = report["flips"]
    assert (code, flips["allow_to_deny"]["count"]) == (0, 1)


async def test_a_reviewed_flip_passes_and_an_expired_review_does_not(tmp_path: Path) -> None:
    log = await written(tmp_path, denied("c1"))
    candidate = policies(tmp_path / "p", models=MODELS)
    entry = {"point": "calls", "subject": "*/alice", "operation": "*", "model": "*", "rule": "not_*"}
    allow_list = tmp_path / "allow.json"
    words = ("replay", "--log", log, "--policies", candidate, "--allow-list", allow_list)
    for until, code, verdict in (("2999-01-01", 0, "good"), ("2020-01-01", 1, "bad")):
        allow_list.write_text(json.dumps({"flips": [{**entry, "reviewed_by": "carol", "until": until}]}))
        done, report = reported(*words)
        assert (done, report["verdict"]) == (code, verdict)
    printed = said(*words).stdout
    assert "expired on 2020-01-01 and not counted" in printed
    assert "carol" in printed


async def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    log = await written(
        tmp_path,
        allowed("c1"),
        denied("c2", reason=Kind.RATE_LIMITED),
        denied("c3", reason=Kind.POLICY_ENGINE_UNAVAILABLE),
        denied("c4", rule="token.user"),
    )
    code, report = reported("replay", "--log", log, "--policies", policies(tmp_path / "p", models=MODELS))
    assert (code, report["compared"]) == (0, 2)
    assert report["left_out"] == {"no_answer": 1, "binding": 1}
    assert report["allowed_then_refused"] == {"RATE_LIMITED": 1}


@pytest.mark.parametrize(("point", "compared"), [("calls", 1), ("tokens", 2), ("admin", 1), ("all", 4)])
async def test_one_decision_point_alone(tmp_path: Path, point: str, compared: int) -> None:
    log = await written(tmp_path, allowed("c1"), token("c2"), no_token("c3", BOB), no_right("c4", BOB))
    candidate = policies(tmp_path / "p", models=MODELS, tokens=[ALICE])
    code, report = reported("replay", "--log", log, "--policies", candidate, "--point", point)
    assert (code, report["compared"]) == (0, compared)


async def test_each_point_has_its_own_verdict(tmp_path: Path) -> None:
    log = await written(tmp_path, denied("c1", BOB), no_token("c2"), no_right("c3"))
    candidate = policies(tmp_path / "p", models={}, tokens=[ALICE], admins=[ALICE])
    _, report = reported("replay", "--log", log, "--policies", candidate)
    flips: Any = report["flips"]
    told = [(group["point"], group["operation"]) for group in flips["deny_to_allow"]["groups"]]
    assert told == [("tokens", "token.issue"), ("admin", "audit.read")]


async def test_a_finding_that_the_candidate_does_not_judge_is_not_evaluated(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"), allowed("c2", ALICE, "gpt-4o", "pii.iban"))
    candidate = policies(tmp_path / "p", models=MODELS)
    rego = candidate / "calls.rego"
    assert reported("replay", "--log", log, "--policies", candidate)[0] == 0
    rego.write_text(
        rego.read_text().replace('{finding.rule: "allow" | some finding in input.findings}', "{}")
    )
    code, report = reported("replay", "--log", log, "--policies", candidate)
    failures: Any = report["not_evaluated"]
    assert (code, report["verdict"], report["compared"]) == (2, "incomplete", 1)
    assert [(failure["point"], failure["count"], failure["samples"]) for failure in failures] == [
        ("calls", 1, ["c2"])
    ]
    assert "`broker.calls.content` does not judge" in failures[0]["why"]


async def test_a_decision_that_is_no_decision_is_not_an_allow(tmp_path: Path) -> None:
    log = await written(tmp_path, denied("c1"))
    candidate = policies(tmp_path / "p", models=MODELS, allow='"yes"')
    done = said("replay", "--log", log, "--policies", candidate)
    assert done.returncode == 2
    assert "`broker.calls.allow` is not of type bool" in done.stdout


async def test_nothing_to_replay_exits_2(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"))
    candidate = policies(tmp_path / "p", models=MODELS)
    assert reported("replay", "--log", log, "--policies", candidate, "--since", "1h")[0] == 0
    done = said("replay", "--log", log, "--policies", candidate, "--until", "1h")
    assert done.returncode == 2
    assert "nothing to compare" in done.stdout


async def test_a_candidate_that_cannot_be_loaded_exits_3_with_file_and_line(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"))
    candidate = policies(tmp_path / "p", models=MODELS)
    (candidate / "admin.rego").write_text("package broker.admin\n\ndefault decision := {\n")
    done = said("replay", "--log", log, "--policies", candidate)
    assert (done.returncode, done.stdout) == (3, "")
    assert "admin.rego:3" in done.stderr
    assert "opa check" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--log", "elsewhere", "--policies", "p"], "no log in the directory"),
        (["--log", "log", "--policies", "elsewhere"], "holds no *.rego"),
        (["--log", "log", "--policies", "p", "--since", "soon"], "--since is neither"),
        (["--log", "log", "--policies", "p", "--allow-list", "elsewhere"], "allow-list cannot be read"),
        (["--log", "log", "--policies", "p", "--allow-list", "p/data.json"], "allow-list cannot be used"),
        (["--log", "log"], "--policies"),
    ],
)
async def test_what_could_not_run_exits_3_with_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    await written(tmp_path, allowed("c1"))
    policies(tmp_path / "p", models=MODELS)
    monkeypatch.chdir(tmp_path)
    done = said("replay", *words)
    assert (done.returncode, done.stdout) == (3, "")
    assert told in done.stderr


async def test_a_damaged_log_exits_3(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"))
    bundle = next((log / "tile/entries").rglob("*.p/*"))
    bundle.write_bytes(bundle.read_bytes().replace(b'"v":1}', b'"v":2}'))
    done = said("replay", "--log", log, "--policies", policies(tmp_path / "p", models=MODELS))
    assert done.returncode == 3
    assert "broker audit verify" in done.stderr


async def test_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    log = await written(tmp_path, denied("c1\x1b[2J", model="gpt-4o", rule="[red]x"))
    printed = said("replay", "--log", log, "--policies", policies(tmp_path / "p", models=MODELS)).stdout
    assert "\x1b" not in printed
    assert "[red]x" in printed
