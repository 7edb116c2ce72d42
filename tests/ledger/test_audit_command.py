"""`broker audit`: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.disk import Disk
from broker.cli.audit import app
from broker.model.record import Record, RecordType
from tests.ledger.support import crashed, intent, opened, outcome

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A closed log with three calls, one denied."""

    async def write() -> None:
        async with opened(tmp_path, disk=Disk()) as log:
            for call_id in ("c1", "c2"):
                await log.append(intent(call_id))
                await log.append(outcome(call_id))
            await log.append(Record(RecordType.DENIED, call_id="c3", user="bob\x1b[2J[red]", decision="deny"))

    asyncio.run(write())
    return tmp_path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], terminal_width=200)


def test_a_good_log_exits_0_and_says_whose_key_was_used(home: Path) -> None:
    done = _run("verify", home / "log")
    assert done.exit_code == 0
    assert "good: broker.example/test-log, 8 entries" in done.stdout
    assert "the key came from the log's own directory" in done.stdout
    for vkey in (home / "log/log.vkey", (home / "log/log.vkey").read_text().strip()):
        done = _run("verify", home / "log", "--vkey", vkey)
        assert (done.exit_code, "own directory" in done.stdout) == (0, False)


def test_as_json_it_is_one_document(home: Path) -> None:
    document = json.loads(_run("verify", home / "log", "--json").stdout)
    assert (document["verdict"], document["size"], document["problems"]) == ("good", 8, [])


def test_an_edited_log_exits_1_with_what_to_try(home: Path) -> None:
    bundle = home / "log/tile/entries/000.p/8"
    bundle.write_bytes(bundle.read_bytes().replace(b"alice", b"mallo"))
    done = _run("verify", home / "log")
    assert done.exit_code == 1
    assert "entry 2: its signature does not verify" in done.stdout
    assert "backup" in done.stdout
    problems = json.loads(_run("verify", home / "log", "--json").stdout)["problems"]
    assert all(problem["remedy"] for problem in problems)


def test_rollback_is_found_with_a_kept_checkpoint(home: Path, tmp_path: Path) -> None:
    copy = crashed(home / "log", home / "older")
    asyncio.run(_reopen(home))
    assert _run("verify", home / "log", "--since-checkpoint", copy / "checkpoint").exit_code == 0
    done = _run("verify", copy, "--since-checkpoint", home / "log/checkpoint")
    assert done.exit_code == 1
    assert "rollback" in done.stdout


async def _reopen(home: Path) -> None:
    async with opened(home, disk=Disk()):
        pass


async def test_a_live_log_with_open_calls_exits_2(tmp_path: Path) -> None:
    async with opened(tmp_path, disk=Disk()) as log:
        await log.append(intent("flying"))
        done = await asyncio.to_thread(_run, "verify", tmp_path / "log")
        assert done.exit_code == 2
        assert "the call flying has no outcome yet" in done.stdout
        shown = await asyncio.to_thread(_run, "show", tmp_path / "log", "--json")
        assert [json.loads(line)["type"] for line in shown.stdout.splitlines()] == ["key", "start", "intent"]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["elsewhere"], "`checkpoint` and `tile`"),
        (["log", "--vkey", "nowhere"], "--vkey"),
        (["log", "--vkey", "a+b+c"], "name+1a2b3c4d"),
        (["log", "--since-checkpoint", "nowhere"], "--since-checkpoint"),
        (["log", "--since-checkpoint", "log/log.vkey"], "of this very log"),
    ],
)
def test_what_could_not_run_exits_3_with_what_to_try(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], remedy: str
) -> None:
    monkeypatch.chdir(home)
    done = _run("verify", *arguments)
    assert (done.exit_code, done.stdout) == (3, "")
    assert remedy in done.stderr


def test_show_filters_and_prints_the_entries_own_bytes(home: Path) -> None:
    entries = [data.decode() for _, data in LogDirectory(home / "log").entries()]
    assert _run("show", home / "log", "--json").stdout.splitlines() == entries
    assert _run("show", home / "log", "--json", "--call-id", "c2").stdout.splitlines() == entries[4:6]
    assert _run("show", home / "log", "--json", "--type", "denied").stdout.splitlines() == entries[6:7]
    assert (
        _run("show", home / "log", "--json", "--user", "alice", "--limit", 1).stdout.splitlines()
        == entries[2:3]
    )
    assert (
        _run("show", home / "log", "--json", "--subject", "spiffe://d/sa/a").stdout.splitlines()
        == entries[2:5:2]
    )


def test_escape_sequences_in_a_record_do_not_reach_the_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = _run("show", home / "log")
    assert done.exit_code == 0
    assert "\x1b[2J" not in done.stdout
    assert "bob\\u{1b}[2J[red]" in COLOURS.sub("", done.stdout)


def test_planted_file_names_do_not_reach_the_terminal(home: Path) -> None:
    (home / "log/tile/\x1b[2Jplanted").write_bytes(b"x")
    done = _run("verify", home / "log")
    assert (done.exit_code, "\x1b[2J" in done.stdout, "planted" in done.stdout) == (1, False, True)


def test_show_of_a_damaged_log_exits_1(home: Path) -> None:
    bundle = home / "log/tile/entries/000.p/8"
    bundle.write_bytes(bundle.read_bytes()[:-3])
    done = _run("show", home / "log")
    assert done.exit_code == 1
    assert "audit verify" in done.stderr


def test_a_proof_needs_the_logs_key_and_nothing_else(home: Path, tmp_path: Path) -> None:
    proof = tmp_path / "intent.tlog-proof"
    done = _run("prove", home / "log", 2)
    assert done.exit_code == 0, done.output
    proof.write_bytes(done.stdout_bytes)
    assert json.loads(_run("prove", home / "log", 2, "--json").stdout) == {"seq": 2, "proof": done.stdout}
    vkey = (home / "log/log.vkey").read_text().strip()
    checked = _run("verify-proof", proof, "--vkey", vkey)
    assert checked.exit_code == 0, checked.output
    assert "proven: entry 2 (intent) of broker.example/test-log, 8 entries" in checked.stdout
    document = json.loads(_run("verify-proof", proof, "--vkey", vkey, "--json").stdout)
    shown = _run("show", home / "log", "--json", "--call-id", "c1", "--type", "intent").stdout
    assert document["entry"] == json.loads(shown)
    assert (document["proven"], document["seq"], document["size"]) == (True, 2, 8)


def test_a_forged_proof_exits_1_and_one_that_is_none_too(home: Path, tmp_path: Path) -> None:
    proof = tmp_path / "forged.tlog-proof"
    vkey = (home / "log/log.vkey").read_text().strip()
    honest = _run("prove", home / "log", 2).stdout_bytes
    for forged in (honest.replace(b"index 2", b"index 3"), b"no proof"):
        proof.write_bytes(forged)
        done = _run("verify-proof", proof, "--vkey", vkey)
        assert (done.exit_code, "Not proven" in done.stderr) == (1, True)
    assert _run("verify-proof", tmp_path / "nowhere", "--vkey", vkey).exit_code == 3


def test_an_entry_that_is_not_there_or_not_covered_yet_is_told(home: Path, tmp_path: Path) -> None:
    assert _run("prove", home / "log", 8).exit_code == 3

    async def live() -> Result:
        async with opened(tmp_path / "live", disk=Disk()) as log:
            while LogDirectory(tmp_path / "live/log").checkpoint() is None:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)
            await asyncio.gather(*(log.append(intent(f"c{number}")) for number in range(50)))
            return await asyncio.to_thread(_run, "prove", tmp_path / "live/log", 51)

    done = asyncio.run(live())
    assert (done.exit_code, "in a second" in done.stderr) in [(2, True), (0, False)]


def test_a_damaged_log_proves_nothing(home: Path) -> None:
    bundle = home / "log/tile/entries/000.p/8"
    bundle.write_bytes(bundle.read_bytes().replace(b"alice", b"mallo"))
    done = _run("prove", home / "log", 2)
    assert (done.exit_code, "broker audit verify" in done.stderr) == (1, True)
