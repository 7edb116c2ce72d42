"""A candidate is tried in a process of its own before it may rule: some policies make the engine abort.

Knows: how to try policies, as a program (`python -m broker.adapters.rego.preflight DIR [--tests]`) and as a
function that runs it. Must not know: who wants to use them. Tried are: loading, the self-check, a strict
reading of what the policies answer for one subject of each role, and, where that is asked, the tables of
their own tests: all, or those that the release has not run.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.adapters.policyfiles.source import read_policies, shipped_policies, unusable
from broker.adapters.rego.aborting import suspects
from broker.adapters.rego.authorizer import EmbeddedAuthorizer
from broker.adapters.rego.table_cases import Basis
from broker.adapters.rego.table_tests import TableFailure, as_released, first_of, run_tables
from broker.errors import BrokerError
from broker.ports import DecisionPoint
from broker.replay.decision import read_decision

TIMEOUT_SECONDS = 60.0
_REFUSED = 1
_TESTS = "--tests"
_DUE = "--due"
_ROLES = 64


@dataclass(frozen=True, slots=True)
class Preflight:
    """What became of policies that can be used: how many cases of their tables hold, and those that
    do not.
    """

    cases: int
    failures: tuple[TableFailure, ...]


async def try_policies(directory: Path) -> None:
    """Raises POLICY_ENGINE_UNAVAILABLE with what is wrong and where; returns where nothing is. Runs
    no tests.
    """
    await _trial(directory)


async def try_tested(directory: Path) -> None:
    """The same, and a test that fails is wrong, too. Shipped rules that are as the release has them passed
    their tables when it was made, whatever the data: those are not run again.
    """
    trial = await _trial(directory, _DUE)
    if trial.failures:
        raise unusable(f"A test of the policies fails: {first_of(trial.failures)}", _MEND)


async def trial_of(directory: Path) -> Preflight:
    """Tries the policies and their tests. Raises POLICY_ENGINE_UNAVAILABLE where they cannot be
    used at all.
    """
    return await _trial(directory, _TESTS)


async def _trial(directory: Path, *words: str) -> Preflight:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(directory), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        said, _ = await asyncio.wait_for(child.communicate(), TIMEOUT_SECONDS)
    except TimeoutError:
        raise unusable(f"{directory} could not be tried within {TIMEOUT_SECONDS:g} s.", _SMALLER) from None
    finally:
        if child.returncode is None:  # late, or nobody waits any more
            child.kill()
            await child.wait()
    if child.returncode == _REFUSED:
        reason = json.loads(said)
        raise unusable(reason["message"], reason["remedy"])
    if child.returncode != 0:
        raise _aborted(directory)
    told = json.loads(said)
    return Preflight(told["cases"], tuple(TableFailure(**each) for each in told["failures"]))


def _aborted(directory: Path) -> BrokerError:
    released = read_policies(shipped_policies()).modules
    found = suspects(each for each in read_policies(directory).modules if each not in released)
    if not found:
        return unusable(f"{directory} makes the policy engine abort.", _OPA)
    return unusable(f"{found[0]}{f' (and {len(found) - 1} like it)' if found[1:] else ''}", _WALK)


_WALK = "Write `some name in list`, or `some key, value in table`, in place of the walk."
_MEND = "Mend the rule or the table; `broker policy test` shows all that fail."
_SMALLER = "Run `broker policy check` on it; a rule may not end."
_OPA = "Undo the last change, and run `opa check --strict` on the policies."


def main(directory: Path, tests: frozenset[Basis]) -> int:
    """Tries the policies; what was found goes to standard output as JSON."""
    try:
        trial = asyncio.run(_try(directory, tests))
    except BrokerError as error:
        sys.stdout.write(json.dumps({"message": error.message, "remedy": error.remedy}))
        return _REFUSED
    sys.stdout.write(json.dumps(asdict(trial)))
    return 0


def _wanted(directory: Path, words: Sequence[str]) -> frozenset[Basis]:
    """Which kinds of tables are to be run."""
    if _DUE in words and as_released(directory):
        return frozenset({Basis.OWN, Basis.DATA})
    return frozenset(Basis if {_DUE, _TESTS} & {*words} else ())


async def _try(directory: Path, tests: frozenset[Basis]) -> Preflight:
    authorizer = EmbeddedAuthorizer(directory)
    for subject in _one_of_each_role(read_policies(directory).base):
        for point, document in _questions(subject):
            read_decision(point, await authorizer.evaluate(point, document), document)
    return Preflight(*await run_tables(authorizer, directory, tests)) if tests else Preflight(0, ())


def _one_of_each_role(base: Mapping[str, object]) -> list[str]:
    grants = base.get("grants")
    if not isinstance(grants, dict):
        return []
    holders = {
        str(grant.get("role")): subject for subject, grant in grants.items() if isinstance(grant, dict)
    }
    return [*holders.values()][:_ROLES]


def _questions(subject: str) -> Iterator[tuple[DecisionPoint, dict[str, object]]]:
    common: dict[str, object] = {
        "v": 1,
        "subject": {"id": subject, "tenant": "preflight", "actor_chain": []},
        "transport": "grpc",
        "time": {"utc": "2026-01-05T12:00Z", "weekday": 1, "clock": "12:00"},
        "now_ns": 1_767_614_400_000_000_000,
    }
    unasked = dict.fromkeys(("ttl_seconds", "user", "max_tokens", "audience", "purpose"))
    yield DecisionPoint.TOKENS, {**common, "request": {"scope": [], **unasked}}
    yield DecisionPoint.ADMIN, {**common, "action": "policy.explain"}
    for operation, model in (("chat", "gpt-4o"), ("embeddings", "text-embedding-3-small"), ("models", None)):
        yield DecisionPoint.CALLS, {**common, **_call(operation, model)}


def _call(operation: str, model: str | None) -> dict[str, object]:
    return {
        "token": {"id": "tok_preflight", "scope": [operation], "user": None, "max_tokens": None},
        "call": {
            "operation": operation,
            "model": model,
            "stream": False,
            "user": None,
            "parameters": {"temperature": 1},
            "fields": ["messages", "model", "temperature"],
            "bytes": 100,
            "store": None,
            "purpose": None,
            "reaches": [],
            "references": [],
        },
        "findings": [],
        "estimate": {"tokens_in": 10, "tokens_out_max": 100, "cost_micro_usd": 5, "known_model": True},
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), _wanted(Path(sys.argv[1]), sys.argv[2:])))
