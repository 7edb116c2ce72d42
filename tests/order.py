"""Which test files begin first: those that take longest, so that nobody waits for one that began last.

`make test` gives each file to one process (`--dist loadfile`), in the order of the collection.
"""

from __future__ import annotations

from pathlib import Path

LONGEST = (
    "policy/test_authoring.py",
    "policy/test_recipes.py",
    "policy/test_slicing_proof.py",
    "e2e/test_end.py",
    "vault/test_serve_outages.py",
    "e2e/test_spent.py",
    "ops/test_failed_start.py",
    "replay/test_replay_command.py",
    "vault/test_login.py",
    "package/test_wheel.py",
    "vault/test_rotation.py",
    "policy/test_against_opa.py",
    "ledger/test_spent.py",
    "ledger/test_ledger.py",
    "policy/test_aborting.py",
    "vault/test_pki.py",
    "vault/test_outages.py",
    "vault/test_canaries.py",
    "vault/test_lying_answers.py",
    "ops/test_broken_configurations.py",
    "vault/test_bad_answers.py",
    "policy/test_init.py",
    "keypool/test_pools_end_to_end.py",
    "vault/test_serve_bad_answers.py",
    "contracts/test_ledgers.py",
    "recorded/test_recorded_calls.py",
    "e2e/test_canaries.py",
    "ledger/test_memory.py",
    "policy/test_independence.py",
    "policy/test_embedded_authorizer.py",
    "vault/test_serve_rotation.py",
    "opa/test_broker_on_opa.py",
)
"""The longest first. One that is not here begins in its place, behind all of these."""
_HERE = Path(__file__).parent
_TURNS = {_HERE / name: turn for turn, name in enumerate(LONGEST)}


def turn(path: Path) -> int:
    """A file's place among the longest, or behind them."""
    return _TURNS.get(path, len(LONGEST))
