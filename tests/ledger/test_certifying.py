"""Keys certified before they are used, and checkpoints while the log grows: on a real log directory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from broker.adapters.ledger.access import StartedWriter, WriterProcess
from broker.adapters.ledger.certifying import Certifying
from broker.adapters.ledger.directory import LogDirectory
from broker.adapters.ledger.keys import LogKeys
from broker.adapters.ledger.ledger import FileLedger
from broker.adapters.ledger.opening import Opening
from broker.cli.audit import app
from broker.errors import BrokerError, Kind
from broker.tlog.certification import DOMAIN, KeyUse, parse_certification
from tests.ledger.certifier import MemoryCertifier
from tests.ledger.support import ORIGIN, RealClock, crashed, entries, fsck, intent, outcome

TOKEN_KEY = Ed25519PrivateKey.generate()


@dataclass
class Run:
    """One process's life with the log in `home`."""

    ledger: FileLedger
    certifying: Certifying


@asynccontextmanager
async def running(
    home: Path,
    certifier: MemoryCertifier,
    *,
    token_key: Ed25519PrivateKey = TOKEN_KEY,
    instance: str = "i1",
    every_seconds: float = 60.0,
) -> AsyncIterator[Run]:
    """As the broker does it: certify, open, start; close, certify the last checkpoint."""
    keys = LogKeys.load_or_create(home / "keys")
    clock = RealClock()
    certifying = Certifying(
        certifier, home / "log", origin=ORIGIN, instance=instance, clock=clock, every_seconds=every_seconds
    )
    used = {KeyUse.RECORD: keys.record, KeyUse.CHECKPOINT: keys.checkpoint, KeyUse.TOKEN: token_key}
    await certifying.certify({use: key.public_key().public_bytes_raw() for use, key in used.items()})
    opening = Opening(home / "log", home / "keys", ORIGIN, keys, instance, certifying.new)
    ledger = FileLedger(home / "log", StartedWriter(opening, WriterProcess()), clock)
    await ledger.open()
    await certifying.start()
    try:
        yield Run(ledger, certifying)
    finally:
        await ledger.close()
        await certifying.aclose()


def _verify(home: Path, certifier: MemoryCertifier, *more: str) -> Result:
    trusted = home / "transit.pub.pem"
    trusted.write_bytes(certifier.pem)
    arguments = ["verify", str(home / "log"), "--certified-by", str(trusted), *more]
    return CliRunner().invoke(app, arguments, terminal_width=200)


async def _one_call(home: Path, certifier: MemoryCertifier, call_id: str, instance: str) -> None:
    async with running(home, certifier, instance=instance) as run:
        await run.ledger.append(intent(call_id))
        await run.ledger.append(outcome(call_id))


async def test_keys_are_certified_before_the_first_record(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    await _one_call(tmp_path, certifier, "c1", "i1")
    first = entries(tmp_path)[0].record
    stated = [parse_certification(text).statement for text in first.certifications or ()]
    assert (first.type.value, [statement.use for statement in stated]) == ("key", list(KeyUse))
    assert {(statement.origin, statement.instance) for statement in stated} == {(ORIGIN, "i1")}
    kept = sorted((tmp_path / "log/certified").glob("*.json"))
    assert sorted(path.read_text() for path in kept) == sorted(first.certifications or ())
    done = _verify(tmp_path, certifier)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "good: broker.example/test-log, 5 entries" in done.stdout
    assert "The certifier signed the checkpoint of the first 5 entries." in done.stdout
    assert "the key came from the log's own directory" not in done.stdout  # for Vault vouches for it


async def test_a_known_key_is_certified_once_and_needs_no_certifier_again(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    await _one_call(tmp_path, certifier, "c1", "i1")
    certifier.away = True
    await _one_call(tmp_path, certifier, "c2", "i2")
    assert [entry.record.type.value for entry in entries(tmp_path)].count("key") == 1
    done = _verify(tmp_path, certifier)
    assert done.exit_code == 0
    assert "the first 5 entries" in done.stdout  # the last checkpoint of the second run is not among them


async def test_a_new_key_that_nobody_certifies_is_not_used(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    certifier.away = True
    with pytest.raises(BrokerError) as caught:
        await _one_call(tmp_path, certifier, "c1", "i1")
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert caught.value.message.startswith("The record key ")
    assert caught.value.remedy == "Check that it runs. Then start the broker again."
    assert not (tmp_path / "log").exists()


async def test_a_new_token_key_is_certified_alone(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    await _one_call(tmp_path, certifier, "c1", "i1")
    certifier.rotate()
    async with running(tmp_path, certifier, token_key=Ed25519PrivateKey.generate(), instance="i2") as run:
        stated = parse_certification(run.certifying.certification(KeyUse.TOKEN)).statement
        assert run.certifying.new == (run.certifying.certification(KeyUse.TOKEN),)
        assert stated.instance == "i2"
    assert [entry.record.type.value for entry in entries(tmp_path)].count("key") == 2
    done = _verify(tmp_path, certifier)
    assert (done.exit_code, done.stderr) == (0, "")


async def test_a_planted_certification_of_another_key_is_not_taken_for_ours(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    await _one_call(tmp_path, certifier, "c1", "i1")
    (token,) = (tmp_path / "log/certified").glob("token-*.json")
    for planted in (b"", b"\xff", next((tmp_path / "log/certified").glob("record-*.json")).read_bytes()):
        token.write_bytes(planted)
        asked = len(certifier.signed)
        await _one_call(tmp_path, certifier, f"c{asked}", f"i{asked}")
        assert [message.startswith(DOMAIN) for message in certifier.signed[asked:]] == [True, False]
    assert _verify(tmp_path, certifier).exit_code == 0


async def test_a_log_written_anew_by_whoever_holds_the_disk_is_refused(tmp_path: Path) -> None:
    """All files are consistent and signed, with keys of the attacker's, log.vkey included."""
    certifier, attacker = MemoryCertifier(), MemoryCertifier()
    home = tmp_path / "site"
    await _one_call(home, certifier, "c1", "i1")
    crashed(home, tmp_path / "honest")
    for path in sorted(home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    await _one_call(home, attacker, "c1", "i1")
    plain = CliRunner().invoke(app, ["verify", str(home / "log")])
    assert plain.exit_code == 0
    for planted in (None, tmp_path / "honest/log/certified"):
        for source in planted.iterdir() if planted else ():
            (home / "log/certified" / source.name).write_bytes(source.read_bytes())
        done = _verify(home, certifier, "--json")
        assert done.exit_code == 1
        problems = json.loads(done.stdout)["problems"]
        kid = entries(home)[0].kid
        named = {"where": "entry 0", "text": f"the record key {kid} is not certified", "fault": "uncertified"}
        assert any(named.items() <= problem.items() for problem in problems)
        assert any("the checkpoint key" in problem["text"] for problem in problems)


async def test_checkpoints_are_certified_while_the_log_grows_and_fsck_agrees(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    async with running(tmp_path, certifier, every_seconds=0.2) as run:
        sizes: set[int] = set()
        until = time.monotonic() + 15
        while len(sizes) < 3 and time.monotonic() < until:
            await run.ledger.append(intent(f"c{len(sizes)}-{time.monotonic_ns()}"))
            await asyncio.sleep(0.1)
            done = await asyncio.to_thread(_verify, tmp_path, certifier, "--json")
            assert done.exit_code == 2, done.stdout
            sizes.add(json.loads(done.stdout)["certified_size"])
    assert len(sizes - {0}) >= 2
    assert (
        LogDirectory(tmp_path / "log").certified_checkpoint() != LogDirectory(tmp_path / "log").checkpoint()
    )


async def test_a_certifier_that_goes_away_is_told_of_and_holds_up_nothing(tmp_path: Path) -> None:
    certifier = MemoryCertifier()
    with capture_logs() as said:
        async with running(tmp_path, certifier, every_seconds=0.1) as run:
            await asyncio.sleep(1.5)
            certifier.away = True
            for number in range(30):
                await run.ledger.append(intent(f"c{number}"))
                await run.ledger.append(outcome(f"c{number}"))
                await asyncio.sleep(0.05)
            certifier.away = False
            await asyncio.sleep(0.5)
    events = [event["event"] for event in said if "certified" in event["event"]]
    assert events == [
        *["key_certified"] * 3,
        "checkpoint_not_certified",
        "checkpoint_certified_again",
    ]
    trouble = next(event for event in said if event["event"] == "checkpoint_not_certified")
    assert (trouble["log_level"], trouble["remedy"]) == ("warning", "Check that it runs.")
    assert _verify(tmp_path, certifier).exit_code == 0


@pytest.mark.servers
async def test_fsck_takes_a_certified_log_and_its_certified_checkpoint(tmp_path: Path) -> None:
    await _one_call(tmp_path, MemoryCertifier(), "c1", "i1")
    assert "Successfully fsck'd log with size 5" in fsck(tmp_path)
    (tmp_path / "log/certified/checkpoint").rename(tmp_path / "log/checkpoint")  # the same, one line longer
    assert "Successfully fsck'd log with size 5" in fsck(tmp_path)


def test_keys_that_are_no_certifiers_are_refused_with_what_to_try(tmp_path: Path) -> None:
    asyncio.run(_one_call(tmp_path / "site", MemoryCertifier(), "c1", "i1"))
    for content, remedy in ((b"nothing", "vault read -format=json"), (None, "--certified-by")):
        trusted = tmp_path / "trusted"
        trusted.unlink(missing_ok=True)
        if content is not None:
            trusted.write_bytes(content)
        arguments = ["verify", str(tmp_path / "site/log"), "--certified-by", str(trusted)]
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, done.stdout) == (3, "")
        assert remedy in done.stderr
