"""Which test files begin first: those that take longest, so that nobody waits for one that began last.

`make test` gives each file to one process (`--dist loadfile`), in the order of the collection.
"""

from __future__ import annotations

from pathlib import Path

LONGEST = (
    "policy/test_recipes.py",
    "policy/test_authoring.py",
    "ops/test_failed_start.py",
    "policy/test_slicing_proof.py",
    "e2e/test_end.py",
    "e2e/test_policy_changes.py",
    "keypool/test_pools_end_to_end.py",
    "policy/test_init.py",
    "e2e/test_kill.py",
    "e2e/test_spent.py",
    "docs/test_operator_page.py",
    "vault/test_pki.py",
    "vault/test_login.py",
    "vault/test_lying_answers.py",
    "vault/test_rotation.py",
    "vault/test_serve_certified.py",
    "vault/test_serve_outages.py",
    "e2e/test_stopping.py",
    "federation/test_serve.py",
    "dynamic_keys/test_serve.py",
    "package/test_wheel.py",
    "e2e/test_restart.py",
    "opa/test_broker_on_opa.py",
    "objects/test_foreign_objects.py",
    "objects/test_objects_command.py",
    "recorded/test_recorded_calls.py",
    "bundle/test_followed_bundle.py",
    "replay/test_replay_command.py",
)
"""The longest first. One that is not here begins in its place, behind all of these."""
_HERE = Path(__file__).parent
_TURNS = {_HERE / name: turn for turn, name in enumerate(LONGEST)}


def turn(path: Path) -> int:
    """A file's place among the longest, or behind them."""
    return _TURNS.get(path, len(LONGEST))
