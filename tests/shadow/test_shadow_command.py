"""`broker policy shadow report`, on logs that a shadow wrote beside calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from broker.model.record import Record, RecordType
from tests.replay.support import ALICE, BOB, allowed, broker, denied, reported, said, written


def _shadow(
    call_id: str, enforced: str, decision: str, *, revision: str = "new", subject: str = ALICE
) -> Record:
    return Record(
        RecordType.SHADOW,
        call_id,
        subject=subject,
        operation="chat",
        model_requested="gpt-4o",
        decision=decision,
        rule=None if decision == "refuse" else "candidate_rule",
        policy_revision=revision,
        policy_sha256="3" * 64,
        enforced=enforced,
    )


async def test_agreement_exits_0(tmp_path: Path) -> None:
    log = await written(
        tmp_path, allowed("c1"), _shadow("c1", "allow", "allow"), _shadow("c2", "deny", "deny"), denied("c2")
    )
    code, report = reported("shadow", "report", "--log", log)
    candidates: Any = report["candidates"]
    (found,) = candidates
    assert (code, report["verdict"]) == (0, "good")
    assert (found["compared"], found["agreed"], found["agreed_by_another_rule"]) == (2, 2, 0)
    assert found["candidate"] == {"revision": "new", "sha256": "3" * 64}


async def test_flips_name_the_rule_that_was_enforced_wherever_its_record_stands(tmp_path: Path) -> None:
    log = await written(
        tmp_path,
        _shadow("c1", "deny", "allow"),
        denied("c1", rule="model_not_granted"),
        allowed("c2", BOB),
        _shadow("c2", "allow", "deny", subject=BOB),
        _shadow("c3", "deny", "allow"),
    )
    code, report = reported("shadow", "report", "--log", log)
    candidates: Any = report["candidates"]
    flips = candidates[0]["flips"]
    assert (code, report["verdict"], candidates[0]["uncovered"]) == (1, "bad", 2)
    assert [(group["rule"], group["samples"]) for group in flips["deny_to_allow"]["groups"]] == [
        ("model_not_granted", ["c1"]),
        ("(unknown)", ["c3"]),
    ]
    assert flips["allow_to_deny"]["by_subject"] == {BOB: 1}
    done = broker("shadow", "report", "--log", log)
    assert done.returncode == 1
    assert "DENY→ALLOW: 2" in done.stdout
    assert "3 decisions compared, 0 (0.00%) the same" in done.stdout


async def test_a_reviewed_flip_passes(tmp_path: Path) -> None:
    log = await written(tmp_path, denied("c1"), _shadow("c1", "deny", "allow"))
    entry = dict.fromkeys(("point", "subject", "operation", "model", "rule"), "*")
    allow_list = tmp_path / "allow.json"
    allow_list.write_text(json.dumps({"flips": [{**entry, "reviewed_by": "carol", "until": "2999-01-01"}]}))
    assert reported("shadow", "report", "--log", log, "--allow-list", allow_list)[0] == 0


async def test_each_candidate_is_told_apart(tmp_path: Path) -> None:
    log = await written(
        tmp_path,
        _shadow("c1", "allow", "allow", revision="first"),
        _shadow("c2", "allow", "refuse", revision="second"),
    )
    code, report = reported("shadow", "report", "--log", log)
    candidates: Any = report["candidates"]
    assert code == 2
    assert [(each["candidate"]["revision"], each["verdict"]) for each in candidates] == [
        ("first", "good"),
        ("second", "incomplete"),
    ]
    assert candidates[1]["not_evaluated"][0]["samples"] == ["c2"]


async def test_no_shadow_records_exit_2(tmp_path: Path) -> None:
    log = await written(tmp_path, allowed("c1"), _shadow("c1", "allow", "allow"))
    assert reported("shadow", "report", "--log", log, "--since", "1h")[0] == 0
    done = said("shadow", "report", "--log", log, "--until", "1h")
    assert done.returncode == 2
    assert "nothing to compare" in done.stdout


def test_no_log_exits_3(tmp_path: Path) -> None:
    done = said("shadow", "report", "--log", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "There is no log" in done.stderr
