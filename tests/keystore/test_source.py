"""The sealed keystore as a CredentialSource: the contract, how long a key is held, what changed files do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from broker.adapters.keystore import SealedKeySource
from broker.errors import BrokerError, Kind
from tests.contracts.credential_source_contract import FIRST, SECOND, KeyStoreSourceContract
from tests.keystore.fakes import KEY, SealedSetup


class TestSealedKeystore(KeyStoreSourceContract):
    """The contract."""

    adapter = SealedKeySource


async def _refused(source: SealedKeySource, credential: str = "openai") -> str:
    with pytest.raises(BrokerError) as caught:
        await source.lease(credential)
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert caught.value.remedy
    return str(caught.value)


async def test_a_burst_opens_the_key_once(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    await asyncio.gather(*(rig.source.lease("openai") for _ in range(200)))
    assert rig.keys.opened == 1


async def test_a_cancelled_caller_does_not_cancel_the_others(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    first, second = (asyncio.ensure_future(rig.source.lease("openai")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).secret.reveal() == KEY
    assert rig.keys.opened == 1


async def test_an_unchanged_file_is_not_opened_again_within_the_hold(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    for _ in range(50):
        await rig.source.lease("openai")
        await rig.pass_second()
    assert rig.keys.opened == 1


async def test_a_key_is_opened_anew_after_the_hold(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    await rig.source.lease("openai")
    rig.clock.ns += 60_000_000_000
    await rig.source.lease("openai")
    assert rig.keys.opened == 2


async def test_an_idle_source_forgets_its_keys(tmp_path: Path) -> None:
    rig = SealedSetup(tmp_path, hold_seconds=0.05)
    rig.store("openai", KEY)
    await rig.source.lease("openai")
    assert rig.source._held
    await asyncio.sleep(0.1)
    assert not rig.source._held
    await rig.source.aclose()


async def test_a_warm_lease_is_cheap(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    await rig.source.lease("openai")
    started = time.perf_counter()
    for _ in range(10_000):
        await rig.source.lease("openai")
    assert (time.perf_counter() - started) / 10_000 < 20e-6


async def test_ciphertexts_swapped_between_names_are_refused(rig: SealedSetup) -> None:
    rig.store("openai", FIRST)
    rig.store("other", SECOND)
    ours, theirs = (json.loads(rig.file(name).read_text()) for name in ("openai", "other"))
    ours["versions"] = theirs["versions"]
    rig.file("openai").write_text(json.dumps(ours))
    assert "does not open" in await _refused(rig.source)


async def test_a_file_renamed_to_another_credential_is_refused(rig: SealedSetup) -> None:
    rig.store("other", SECOND)
    rig.file("other").rename(rig.file("openai"))
    assert "damaged" in await _refused(rig.source)


@pytest.mark.parametrize(("field", "value"), [("version", 7), ("kind", "admin-key")])
async def test_a_relabelled_version_is_refused(rig: SealedSetup, field: str, value: object) -> None:
    rig.store("openai", FIRST)
    content = json.loads(rig.file("openai").read_text())
    content["versions"][0][field] = value
    rig.file("openai").write_text(json.dumps(content))
    assert "does not open" in await _refused(rig.source)


async def test_an_old_ciphertext_passed_off_as_a_new_version_is_refused(rig: SealedSetup) -> None:
    rig.store("openai", FIRST)
    rig.store("openai", SECOND)
    content = json.loads(rig.file("openai").read_text())
    content["versions"][1]["sealed"] = content["versions"][0]["sealed"]
    rig.file("openai").write_text(json.dumps(content))
    assert "does not open" in await _refused(rig.source)


async def test_a_file_rolled_back_to_a_revoked_key_is_refused(rig: SealedSetup) -> None:
    rig.store("openai", FIRST)
    shutil.copy(rig.file("openai"), rig.directory / "kept")
    rig.store("openai", SECOND)
    assert (await rig.source.lease("openai")).key_version == 2
    (rig.directory / "kept").replace(rig.file("openai"))
    await rig.pass_second()
    assert "earlier version" in await _refused(rig.source)
    assert "earlier version" in await _refused(rig.source)


async def test_a_truncated_file_is_refused_at_every_length(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    whole = rig.file("openai").read_bytes()
    for length in range(0, len(whole), 7):
        rig.file("openai").write_bytes(whole[:length])
        await _refused(rig.source)


async def test_every_changed_ciphertext_byte_is_refused(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    content = json.loads(rig.file("openai").read_text())
    sealed = content["versions"][0]["sealed"]
    for place in range(0, len(sealed) - 2, 5):
        changed = "B" if sealed[place] == "A" else "A"
        content["versions"][0]["sealed"] = sealed[:place] + changed + sealed[place + 1 :]
        rig.file("openai").write_text(json.dumps(content))
        await _refused(rig.source)


async def test_another_seal_key_does_not_open(rig: SealedSetup, tmp_path: Path) -> None:
    rig.store("openai", KEY)
    SealedSetup(tmp_path / "other").store("openai", KEY)
    shutil.copy(tmp_path / "other" / "seal.key", rig.directory / "seal.key")
    assert "does not open" in await _refused(rig.source)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
async def test_a_seal_key_others_can_read_is_refused(rig: SealedSetup, mode: int) -> None:
    rig.store("openai", KEY)
    (rig.directory / "seal.key").chmod(mode)
    assert f"chmod 600 {rig.directory}/seal.key" in await _refused(rig.source)


async def test_a_seal_key_behind_a_symlink_is_refused(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    rig.lock()
    (rig.directory / "seal.key").symlink_to(rig.directory / "seal.away")
    assert "cannot be read" in await _refused(rig.source)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44, b"QUJD\n"])
async def test_a_damaged_seal_key_is_refused(rig: SealedSetup, content: bytes) -> None:
    rig.store("openai", KEY)
    (rig.directory / "seal.key").write_bytes(content)
    assert "32 bytes" in await _refused(rig.source)


async def test_a_key_that_vanishes_is_no_longer_served(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    await rig.source.lease("openai")
    rig.file("openai").unlink()
    await rig.pass_second()
    assert "broker keys import openai" in await _refused(rig.source)


@pytest.mark.parametrize("name", ["../openai", "", "a/b", "A", "a" * 64, "a\0b", "a\n"])
async def test_path_traversal_in_a_credential_name_is_refused(rig: SealedSetup, name: str) -> None:
    assert "name" in await _refused(rig.source, name)


async def test_a_lost_seal_key_is_not_replaced_by_a_new_one(rig: SealedSetup) -> None:
    rig.store("openai", KEY)
    rig.lock()
    with pytest.raises(BrokerError, match="cannot be read"):
        rig.store("openai", SECOND)
    assert not (rig.directory / "seal.key").exists()


def test_files_are_for_their_owner_and_hold_no_plain_key(rig: SealedSetup) -> None:
    mask = os.umask(0)
    try:
        rig.store("openai", KEY)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(rig.directory.stat().st_mode) == 0o700
    for path in rig.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert KEY.encode() not in path.read_bytes()


def test_versions_are_kept_and_sealed_apart(rig: SealedSetup) -> None:
    for _ in range(3):
        rig.store("openai", KEY)
    assert [each.version for each in rig.keys.versions("openai")] == [1, 2, 3]
    sealed = {each["sealed"] for each in json.loads(rig.file("openai").read_text())["versions"]}
    assert len(sealed) == 3


@pytest.mark.parametrize(
    "value", ["", "short", "sk-with space-000000", "sk-newline\n0000000", "sk-é0000000000"]
)
def test_what_is_no_key_is_refused_unquoted(rig: SealedSetup, value: str) -> None:
    with pytest.raises(BrokerError, match="visible ASCII") as caught:
        rig.store("openai", value)
    assert not value or value not in str(caught.value)
