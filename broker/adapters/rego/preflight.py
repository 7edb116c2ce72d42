"""A candidate is tried in a process of its own before it may rule: some policies make the engine abort.

Knows: how to try policies, as a program (`python -m broker.adapters.rego.preflight DIR [--tests]`) and as a
function that runs it. Must not know: who wants to use them. Tried are: loading, whether they answer sliced
as they do whole (adr/0062), the self-check, a strict reading of what the policies answer for one subject of
each role, and, where that is asked, the tables of their own tests: all, or those that the release has not
run.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from broker.adapters.policyfiles.datacheck import refuse_mistaken
from broker.adapters.policyfiles.source import Module, read_policies, read_tests, shipped_policies, unusable
from broker.adapters.rego.aborting import Suspect, recursions, suspects
from broker.adapters.rego.authorizer import EmbeddedAuthorizer
from broker.adapters.rego.compiled import RuleForm
from broker.adapters.rego.proof import (
    BEFORE_THEY_RULE_SECONDS,
    THOROUGH_SECONDS,
    ProofSetting,
    Prover,
    Rules,
    SlicingProof,
    has_small_tables,
    prove,
    unproven,
    with_small_tables,
)
from broker.adapters.rego.table_cases import Basis, Case, read_cases, read_fixture
from broker.adapters.rego.table_tests import TableFailure, as_released, first_of, has_own_rules, run_tables
from broker.adapters.rego.usual_questions import read_usual_answers
from broker.errors import BrokerError
from broker.ports import DecisionPoint

TIMEOUT_SECONDS = 60.0
MEMORY_BYTES = 2 * 1024**3
"""Ten times what the engine takes for 100,000 grants. A rule that calls itself would take all there is."""

_REFUSED = 1
_TOO_LARGE = 3
_LOOK_SECONDS = 0.02
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
_TESTS = "--tests"
_DUE = "--due"
_PROVE = "--prove"
_WHOLE = "--whole"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What became of policies that can be used: the form in which they may rule, how many cases of their
    tables hold, and those that do not.
    """

    proof: SlicingProof
    cases: int = 0
    failures: tuple[TableFailure, ...] = ()


async def try_policies(directory: Path) -> SlicingProof:
    """The form in which they may be evaluated. Raises POLICY_ENGINE_UNAVAILABLE with what is wrong and where.
    Runs no tests.
    """
    return (await _trial(directory)).proof


async def try_whole(directory: Path) -> None:
    """Raises as `try_policies` does, but for what only their slices would do wrong. The quickest answer: for
    an author who has something to mend.
    """
    await _trial(directory, _WHOLE)


async def proof_of(directory: Path) -> SlicingProof:
    """The same, proven thoroughly: on the inputs of all tables that tell something of them, and longer."""
    return (await _trial(directory, _PROVE)).proof


async def try_tested(directory: Path) -> SlicingProof:
    """The same as `try_policies`, and a test that fails is wrong, too. Shipped rules that are as the release
    has them passed their tables when it was made, whatever the data: those are not run again.
    """
    trial = await _trial(directory, _DUE)
    if trial.failures:
        raise unusable(f"A test of the policies fails: {first_of(trial.failures)}", _MEND)
    return trial.proof


async def trial_of(directory: Path) -> Preflight:
    """Tries the policies and their tests. Raises POLICY_ENGINE_UNAVAILABLE where they cannot be
    used at all.
    """
    return await _trial(directory, _TESTS)


async def _trial(directory: Path, *words: str) -> Preflight:
    child = await _started(directory, words)
    try:
        said, _ = await asyncio.wait_for(child.communicate(), TIMEOUT_SECONDS)
    except TimeoutError:
        raise _too_slow(directory) from None
    finally:
        if child.returncode is None:  # late, or nobody waits any more
            child.kill()
            await child.wait()
    if child.returncode == _TOO_LARGE:
        raise _too_large(directory)
    if child.returncode not in (0, _REFUSED):
        raise _aborted(directory)
    return _heard(said)


async def _started(directory: Path, words: Sequence[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(directory), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


def _told(found: Preflight | BrokerError) -> str:
    """What a trial tells, and `_heard` understands."""
    if isinstance(found, BrokerError):
        return json.dumps({"message": found.message, "remedy": found.remedy})
    return json.dumps(asdict(found), default=lambda form: form.value)


def _heard(said: bytes | str) -> Preflight:
    told = json.loads(said)
    if "message" in told:
        raise unusable(told["message"], told["remedy"])
    proof = SlicingProof(**(told["proof"] | {"form": RuleForm(told["proof"]["form"])}))
    return Preflight(proof, told["cases"], tuple(TableFailure(**each) for each in told["failures"]))


def _aborted(directory: Path) -> BrokerError:
    return _first(
        suspects(_own(directory)) or recursions(read_policies(directory).modules),
        Suspect(f"{directory} makes the policy engine abort.", _OPA),
    )


def _too_large(directory: Path) -> BrokerError:
    most = MEMORY_BYTES // 1024**3
    return _first(
        recursions(read_policies(directory).modules),
        Suspect(f"{directory} makes the policy engine take more than {most} GiB of memory.", _OPA),
    )


def _too_slow(directory: Path) -> BrokerError:
    return _first(
        recursions(read_policies(directory).modules),
        Suspect(f"{directory} could not be tried within {TIMEOUT_SECONDS:g} s.", _SMALLER),
    )


def _own(directory: Path) -> list[Module]:
    """The modules that are not as the release has them."""
    released = read_policies(shipped_policies()).modules
    return [each for each in read_policies(directory).modules if each not in released]


def _first(found: Sequence[Suspect], otherwise: Suspect) -> BrokerError:
    more = f" (and {len(found) - 1} like it)" if found[1:] else ""
    first = found[0] if found else otherwise
    return unusable(f"{first.told}{more}", first.remedy)


_MEND = "Mend the rule or the table; `broker policy test` shows all that fail."
_SMALLER = "Run `broker policy check` on it; a rule may not end."
_OPA = "Undo the last change, and run `opa check --strict` on the policies."


def main() -> int:
    """Tries the policies of the folder that the command line names; what was found goes to standard output as
    JSON.
    """
    threading.Thread(target=_end_when_too_large, daemon=True).start()
    directory, words = Path(sys.argv[1]), frozenset(sys.argv[2:])
    try:
        trial = asyncio.run(_try(directory, words))
    except BrokerError as error:
        sys.stdout.write(_told(error))
        return _REFUSED
    sys.stdout.write(_told(trial))
    return 0


def _wanted(directory: Path, words: frozenset[str]) -> frozenset[Basis]:
    """Which kinds of tables are to be run."""
    if _DUE in words and as_released(directory):
        return frozenset({Basis.OWN, Basis.DATA})
    return frozenset(Basis if {_DUE, _TESTS} & words else ())


async def _try(directory: Path, words: frozenset[str]) -> Preflight:
    """What is refused anyhow is not proven; but where the engine would load the tables whole for too long,
    nothing is asked before the proof.
    """
    source, tests = read_policies(directory), _wanted(directory, words)
    if _WHOLE in words:
        refuse_mistaken(source)  # while it is known where each entry stands
        source = with_small_tables(source)
    is_small = has_small_tables(source)
    authorizer = EmbeddedAuthorizer(source, unproven if is_small else _prover(directory, words, tests))
    await read_usual_answers(authorizer, source.base)
    cases, failures = await run_tables(authorizer, directory, tests) if tests else (0, ())
    if failures or not is_small:
        return Preflight(authorizer.proof, cases, failures)
    return Preflight(_prover(directory, words, tests, authorizer.rules)(source).proof, cases)


def _prover(
    directory: Path, words: frozenset[str], tests: frozenset[Basis], written: Rules | None = None
) -> Prover:
    """Whether tables hold is asked of the policies whole: what is to rule nobody decides there."""
    if {_TESTS, _WHOLE} & words:
        return unproven
    wanted, seconds = tests, BEFORE_THEY_RULE_SECONDS
    if _PROVE in words:
        wanted, seconds = _telling(directory), THOROUGH_SECONDS
    return partial(prove, settings=_settings(directory, wanted), seconds=seconds, written=written)


def _telling(directory: Path) -> frozenset[Basis]:
    """The kinds of tables that tell something new of how the policies answer when sliced. The release's rules
    by themselves were proven on the release's tables when it was made: their data are the fixture's.
    """
    is_known = as_released(directory) and not has_own_rules(directory)
    return frozenset(Basis) - ({Basis.SHIPPED} if is_known else set())


def _settings(directory: Path, wanted: frozenset[Basis]) -> list[ProofSetting]:
    """The policies' own data; and that of their tests, where some of these are wanted."""
    tests = read_tests(directory) if wanted else ()
    known: dict[bool, dict[DecisionPoint, list[dict[str, object]]]] = {True: {}, False: {}}
    for case in _cases(tests, wanted):
        known[case.basis is Basis.DATA].setdefault(case.point, []).append(case.document)
    fixture = read_fixture(tests) if known[False] else None
    with_fixture = [ProofSetting(fixture or {}, known[False])] if known[False] else []
    return [ProofSetting(known=known[True]), *with_fixture]


def _cases(tests: Sequence[Module], wanted: frozenset[Basis]) -> list[Case]:
    """What is no table is told by who runs it."""
    try:
        return list(read_cases(tests, wanted))
    except BrokerError:
        return []


def _end_when_too_large() -> None:
    """Ends this process at once where it takes more than MEMORY_BYTES. The engine has no bound of its own,
    and reserves more addresses than it uses, so that a limit of the operating system cannot tell.
    """
    while True:
        time.sleep(_LOOK_SECONDS)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES > MEMORY_BYTES:
            os._exit(_TOO_LARGE)


if __name__ == "__main__":
    sys.exit(main())
