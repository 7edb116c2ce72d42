"""What a limit is called where it is recorded, and that it is counted under that name."""

from __future__ import annotations

import pytest

from broker.call.limits import CallLimits
from broker.call.naming import limit_name
from broker.call.stages import Stages
from broker.catalog.reserve import Reserve
from broker.model.charge import Charge, Unit
from broker.model.decision import Limit
from broker.prefilter.inspector import Inspector
from broker.tlog.commitment import Committer
from tests.call.opened import ALLOWING

COMMIT = Committer(bytes(32)).commit
PLAIN = (
    "spiffe://dev.broker/ns/demo/sa/a requests/minute",
    "team:claims money/month",
    "user:carol tokens/day",
)
TELLING = (
    "user:my card is 4111 1111 1111 1111 money/month",
    "user:please_write a poem about me money/month",
    "user:alice@example.com money/month",
    f"user:{'x' * 200} money/month",
    "user:é money/month",
    "alone\n",
    "",
)


@pytest.fixture(scope="module")
def limits() -> CallLimits:
    return CallLimits(Stages(Inspector((), ())).finds, COMMIT)


def _charge(limits: CallLimits, key: str) -> Charge:
    decision = ALLOWING.__class__(
        True, "r", "", ALLOWING.policy, ALLOWING.content, limits=(Limit(key, Unit.TOKENS, 9, 60),)
    )
    [charge] = limits.charges(decision, Reserve(tokens=5, micro_usd=7))
    return charge


@pytest.mark.parametrize("key", PLAIN)
def test_a_plain_name_is_recorded_as_it_is(limits: CallLimits, key: str) -> None:
    assert _charge(limits, key) == Charge(key, Unit.TOKENS, 5, 9, 60, key)


@pytest.mark.parametrize("key", TELLING)
def test_personal_data_in_the_name_of_a_limit_is_recorded_as_its_commitment(
    limits: CallLimits, key: str
) -> None:
    charge = _charge(limits, key)
    assert charge.key == COMMIT(None, "limit", key.encode())
    assert charge.label == key, "its caller is told the limit's own name"
    again = CallLimits(Stages(Inspector((), ())).finds, COMMIT)
    assert _charge(again, key) == charge, "after a restart it is found again"


def test_no_account_can_be_called_like_the_commitment_of_another() -> None:
    """A commitment has no space; a key has one, between the account and the limit's name."""
    committed = limit_name("user:alice@example.com money", COMMIT, found=True)
    assert " " not in committed
    assert limit_name(f"{committed} money", COMMIT, found=False) != committed
