"""After a crash: the next start of the same instance deletes what the dead one left, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.adapters.ephemeral_keys.dynamic import Instance
from broker.errors import BrokerError, Kind
from tests.dynamic_keys.fakes import INSTANCE, LIFE, OURS, PROJECT, DynamicSetup
from tests.ephemeral_keys.network import Fault

ANOTHER = "ffeeddccbbaa9988"


async def test_a_restarted_broker_deletes_what_the_crashed_one_left(rig: DynamicSetup) -> None:
    crashed = rig.another()
    lost = (await crashed.lease("chat")).secret.reveal()
    assert rig.opens(lost)
    rig.source = rig.another()
    await rig.source.start()
    kept = await rig.key()
    await rig.clock.advance(1)
    assert not rig.opens(lost)
    assert [key.value for key in rig.live] == [kept]
    await crashed.aclose()


async def test_a_sweep_touches_no_account_of_another_broker_or_a_person(rig: DynamicSetup) -> None:
    """Whatever they are called, as long as this instance cannot have given the name."""
    nonce = "0123456789abcdef"
    names = [
        f"broker-{ANOTHER}-chat-{nonce}",
        f"broker-{INSTANCE}",
        f"{OURS}chat",
        f"{OURS}chat-{nonce[:-1]}",
        f"{OURS}chat-{nonce}0",
        f"{OURS}chat-{nonce}\n",
        f" {OURS}chat-{nonce}",
        f"{OURS}chat-{nonce.upper()}",
        f"{OURS}-{nonce}",
        f"{OURS}Chat Team-{nonce}",
        f"x{OURS}chat-{nonce}",
        f"{OURS.upper()}chat-{nonce}",
        f"{OURS}chàt-{nonce}",
        f"broker-{INSTANCE[:-1]}-chat-{nonce}",
        "Jane's notebook",
        "",
    ]
    theirs = [rig.organization.add_account(PROJECT, name, "member") for name in names]
    keys = [rig.organization.add_key(account, "key", None, None).value for account in theirs]
    ours = rig.organization.add_account(PROJECT, f"{OURS}chat-{nonce}", "member")
    second = rig.another()
    await second.start()
    await rig.clock.advance(60)
    assert ours.id not in rig.organization.accounts
    assert [name for name, key in zip(names, keys, strict=True) if not rig.opens(key)] == []
    await second.aclose()
    assert [name for name, key in zip(names, keys, strict=True) if not rig.opens(key)] == []


async def test_two_brokers_on_one_project_leave_each_other_alone(rig: DynamicSetup) -> None:
    ours = await rig.key()
    other = rig.another(ANOTHER)
    await other.start()
    theirs = (await other.lease("chat")).secret.reveal()
    await rig.clock.advance(60)
    assert rig.opens(ours)
    await other.aclose()
    assert rig.opens(ours)
    assert not rig.opens(theirs)


async def test_orphans_beyond_the_first_page_are_found(rig: DynamicSetup) -> None:
    for number in range(250):
        name = f"{OURS}chat-{number:016x}" if number % 50 == 49 else f"somebody-{number}"
        rig.organization.add_account(PROJECT, name, "member")
    restarted = rig.another()
    await restarted.start()
    await rig.clock.advance(60)
    left = [account.name for account in rig.organization.accounts.values()]
    assert sum(name.startswith("somebody-") for name in left) == 245
    assert not any(name.startswith(f"{OURS}chat-0000000000") for name in left)
    await restarted.aclose()


async def test_a_sweep_waits_for_openai_to_be_back() -> None:
    rig = DynamicSetup()
    orphan = rig.organization.add_account(PROJECT, f"{OURS}chat-0123456789abcdef", "member")
    key = rig.organization.add_key(orphan, "key", LIFE, None).value
    rig.wire.fault = Fault.UNREACHABLE
    await rig.source.start()
    await rig.clock.advance(600)
    assert rig.opens(key)
    rig.wire.fault = Fault.NONE
    await rig.clock.advance(31)
    assert not rig.opens(key)
    await rig.source.aclose()


async def test_a_deletion_that_fails_is_tried_until_it_works(rig: DynamicSetup) -> None:
    before = await rig.key()
    rig.wire.fault = Fault.OVERLOADED
    rig.source.revoke("chat")
    await rig.clock.advance(120)
    assert rig.opens(before)
    rig.wire.fault = Fault.NONE
    await rig.clock.advance(31)
    assert not rig.opens(before)


async def test_an_account_that_stays_at_the_end_has_no_key_that_lives_on(rig: DynamicSetup) -> None:
    """The admin API is away when the broker ends: the key's own end is the backstop."""
    key = await rig.key()
    rig.wire.fault = Fault.UNREACHABLE
    await rig.source.aclose()
    assert rig.opens(key)
    await rig.clock.advance(LIFE + 1)
    assert rig.live == []
    rig.wire.fault = Fault.NONE


def test_an_instance_keeps_its_name_and_is_one_process(tmp_path: Path) -> None:
    path = tmp_path / "state/instance"
    first = Instance(path)
    with pytest.raises(BrokerError, match="Another process") as caught:
        Instance(path)
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    first.release()
    again, other = Instance(path), Instance(tmp_path / "other")
    assert again.name == first.name
    assert other.name != first.name
    again.release()
    other.release()


def test_an_instance_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "instance"
    Instance(path).release()
    path.chmod(0o644)
    with pytest.raises(BrokerError, match="open to others"):
        Instance(path)
