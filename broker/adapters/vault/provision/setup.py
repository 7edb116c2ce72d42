"""Carries a plan out: looks at what is there, writes what is not, issues a wrapped secret id.

Knows: how a step is read and written. Must not know: what the broker needs. Blocking. Raises BrokerError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from broker.adapters.keyfile import replace_private
from broker.adapters.vault.errors import VaultErrorCode, refused
from broker.adapters.vault.operator import Operator
from broker.adapters.vault.provision.grants import VaultNames
from broker.adapters.vault.provision.plan import Step, StepFinding, StepState, judge


def survey(operator: Operator, steps: Iterable[Step]) -> tuple[StepFinding, ...]:
    """What is there of each step. Writes nothing."""
    return tuple(judge(step, _found(operator, step)) for step in steps)


def carry_out(operator: Operator, findings: Sequence[StepFinding]) -> int:
    """Writes what is missing or different, in the plan's order; how many steps that were."""
    due = [finding for finding in findings if finding.state in {StepState.MISSING, StepState.DIFFERENT}]
    for finding in due:
        operator.ask("post", finding.step.write, dict(finding.step.body))
    return len(due)


def role_id(operator: Operator, names: VaultNames) -> str | None:
    """The role id of the broker's AppRole, which is no secret; None before there is one."""
    answer = operator.find("get", f"auth/{names.approle}/role/{names.role}/role-id")
    return _text(answer, "data", "role_id") if answer is not None else None


def wrap_secret_id(operator: Operator, names: VaultNames, file: Path, seconds: int) -> None:
    """A new secret id, response-wrapped for that long, in a 0600 file that replaces an older one. Nobody but
    who unwraps it ever sees it, and only one can.
    """
    path = f"auth/{names.approle}/role/{names.role}/secret-id"
    answer = operator.ask("post", path, {}, X_Vault_Wrap_TTL=f"{seconds}s")
    replace_private(file, (_text(answer, "wrap_info", "token") + "\n").encode())


def _found(operator: Operator, step: Step) -> Mapping[str, object] | None:
    answer = operator.find(step.method, step.read)
    found = answer.get("data") if answer is not None else None
    return found if isinstance(found, Mapping) else None


def _text(answer: Mapping[str, object], *place: str) -> str:
    there: object = answer
    for name in place:
        there = there.get(name) if isinstance(there, Mapping) else None
    if not isinstance(there, str):
        raise refused(VaultErrorCode.GARBLED).refusal.error()
    return there
