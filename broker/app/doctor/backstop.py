"""What OpenAI's hard spend limit of a project means for a broker whose policies have limits of their own.

Knows: words and figures. Must not know: how anything was asked. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.adapters.ephemeral_keys.dynamic import SpendLimit
from broker.adapters.policyfiles.money import MONTH_DAYS, MonthlyMoney, has_roles, most_money
from broker.app.doctor.check import Check, Level
from broker.model.units import MICRO_PER_CENT

SUBJECT = "spend"
_CENTS = 100


@dataclass(frozen=True, slots=True)
class Spender:
    """Who has a limit at OpenAI: a project, or the whole organization (None); and the credentials of policies
    that spend its money.
    """

    project: str | None
    credentials: frozenset[str]

    @property
    def name(self) -> str:
        return "the organization" if self.project is None else f"the project {self.project}"

    @property
    def setting(self) -> str:
        """Where its limit is set."""
        if self.project is None:
            return "OpenAI's dashboard (organization, Limits), or POST /organization/spend_limit"
        path = f"/organization/projects/{self.project}/spend_limit"
        return f"OpenAI's dashboard (project, Limits), or POST {path}"


def judged(spender: Spender, limit: SpendLimit | None, data: Mapping[str, object] | None) -> Check:
    """`data` is that of the policies, None where they cannot be read here."""
    if limit is None:
        told = f"OpenAI knows of no hard spend limit of {spender.name}: none of its own backs the broker's."
        return Check(SUBJECT, Level.WARNING, told, f"Set one: {spender.setting}.{_misspelt(spender)}")
    amount = _usd(limit.cents)
    if limit.enforcing:
        told = f"OpenAI refuses all calls of {spender.name}: its {amount} of this month are spent."
        return Check(
            SUBJECT, Level.BAD, told, f"Raise the limit: {spender.setting}; or wait for its month's end."
        )
    return _compared(spender, limit, data)


def _compared(spender: Spender, limit: SpendLimit, data: Mapping[str, object] | None) -> Check:
    has = f"OpenAI's hard spend limit of {spender.name} is {_usd(limit.cents)} a month."
    if data is None or not has_roles(data):
        left_out = "It was not compared: no roles with limits were read of the policies."
        return Check(SUBJECT, Level.GOOD, f"{has} {left_out}")
    most = most_money(data, spender.credentials)
    if most is None:
        return Check(SUBJECT, Level.GOOD, f"{has} The policies have no limit of money for its keys.")
    if limit.cents * MICRO_PER_CENT < most.micro_usd:
        told = f"{has} It is lower than what the policies allow: {_allowed(most)}."
        remedy = (
            f"Calls within policy will be refused: lower that limit, or raise OpenAI's: {spender.setting}."
        )
        return Check(SUBJECT, Level.WARNING, told, remedy)
    return Check(SUBJECT, Level.GOOD, f"{has} The largest limit of the policies is lower: {_allowed(most)}.")


def _allowed(most: MonthlyMoney) -> str:
    """One limit counts for each account by itself; how many accounts there will be, nobody knows."""
    amount = _usd(most.micro_usd // MICRO_PER_CENT)
    return (
        f"{amount} in {MONTH_DAYS} days for one account ({most.place}); all accounts together may spend more"
    )


def _misspelt(spender: Spender) -> str:
    return "" if spender.project is None else " If one is set, check the project's id."


def _usd(cents: int) -> str:
    """
    >>> _usd(123456), _usd(5)
    ('1,234.56 USD', '0.05 USD')
    """
    return f"{cents // _CENTS:,}.{cents % _CENTS:02} USD"
