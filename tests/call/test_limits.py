"""What a limit is called where it is recorded, and that it is counted under that name."""

from __future__ import annotations

from datetime import UTC

import pytest

from broker.call.limits import CallLimits
from broker.call.naming import limit_name
from broker.call.stages import Stages
from broker.catalog.reserve import Reserve
from broker.model.charge import Charge, Taken, Unit
from broker.model.limit import FixedWindow, Limit
from broker.model.units import NS_PER_SECOND
from broker.prefilter.inspector import Inspector
from broker.tlog.commitment import Committer
from tests.call.opened import ALLOWING

COMMIT = Committer(bytes(32)).commit
PLAIN = (
    ("spiffe://dev.broker/ns/demo/sa/a", "requests/minute"),
    ("team:claims", "money/month"),
    ("user:carol", "tokens/day"),
    ("team:claims", "team spend/day"),
)
TELLING = (
    ("user:my card is 4111 1111 1111 1111", "money/month"),
    ("user:please_write a poem about me", "money/month"),
    ("user:please_write a poem about", "me money/month"),
    ("user:alice@example.com", "money/month"),
    (f"user:{'x' * 200}", "money/month"),
    ("user:é", "money/month"),
    ("user:carol", "two  spaces"),
    ("user:carol", "a line\n"),
    ("user:carol", " ".join(["word"] * 40)),
)


@pytest.fixture(scope="module")
def limits() -> CallLimits:
    return CallLimits(Stages(Inspector((), ())).finds, COMMIT, UTC)


def _charge(limits: CallLimits, account: str, name: str) -> Charge:
    limit = Limit(f"{account} {name}", Unit.TOKENS, 9, FixedWindow(60), name, warn_percent=0)
    decision = ALLOWING.__class__(True, "r", "", ALLOWING.policy, ALLOWING.content, limits=(limit,))
    [charge] = limits.charges(decision, Reserve(tokens=5, micro_usd=7), 125 * NS_PER_SECOND, stream=False)
    return charge


@pytest.mark.parametrize(("account", "name"), PLAIN)
def test_a_plain_name_is_recorded_as_it_is(limits: CallLimits, account: str, name: str) -> None:
    key = f"{account} {name}"
    assert _charge(limits, account, name) == Charge(Taken(key, Unit.TOKENS, 60, 120, 5), 9, key)


@pytest.mark.parametrize("key", ["alone\n", "", "two words"])
def test_a_key_without_a_name_is_plain_where_an_account_is(key: str) -> None:
    assert limit_name(Limit(key, Unit.TOKENS, 9, FixedWindow(60)), COMMIT, found=False) != key


@pytest.mark.parametrize(("account", "name"), TELLING)
def test_personal_data_in_the_name_of_a_limit_is_recorded_as_its_commitment(
    limits: CallLimits, account: str, name: str
) -> None:
    charge, key = _charge(limits, account, name), f"{account} {name}"
    assert charge.taken.limit == COMMIT(None, "limit", key.encode())
    assert charge.label == key, "its caller is told the limit's own name"
    again = CallLimits(Stages(Inspector((), ())).finds, COMMIT, UTC)
    assert _charge(again, account, name) == charge, "after a restart it is found again"


def test_no_account_can_be_called_like_the_commitment_of_another() -> None:
    """A commitment has no space; a key has one, between the account and the limit's name."""
    committed = limit_name(
        Limit("user:alice@example.com money", Unit.TOKENS, 9, FixedWindow(60), "money"), COMMIT, found=True
    )
    assert " " not in committed
    other = Limit(f"{committed} money", Unit.TOKENS, 9, FixedWindow(60), "money")
    assert limit_name(other, COMMIT, found=False) != committed
