"""Which test files begin first: those that take longest, so that nobody waits for one that began last.

`make test` gives each file to one process (`--dist loadfile`), in the order of the collection.
"""

from __future__ import annotations

from pathlib import Path

LONGEST = (
    "e2e/test_workers.py",
    "vault/test_serve_outages.py",
    "vault/test_login.py",
    "ops/test_failed_start.py",
    "e2e/test_end.py",
    "package/test_wheel.py",
    "vault/test_rotation.py",
    "contracts/test_ledgers.py",
    "policy/test_recipes.py",
    "bundle/test_followed_bundle.py",
    "vault/test_pki.py",
    "vault/test_outages.py",
    "replay/test_replay_command.py",
    "policy/test_authoring.py",
    "e2e/test_spent.py",
    "vault/test_lying_answers.py",
    "vault/test_bad_answers.py",
    "vault/test_canaries.py",
    "ops/test_lazy_commands.py",
    "vault/test_serve_bad_answers.py",
    "vault/test_serve_rotation.py",
    "policy/test_slicing_proof.py",
    "policy/test_against_opa.py",
    "grpc/test_transport.py",
    "keypool/test_pools_end_to_end.py",
    "policy/test_aborting.py",
    "ledger/test_spent.py",
    "opa/test_broker_on_opa.py",
    "ledger/test_ledger.py",
    "policy/test_init.py",
    "vault/test_serve_certified.py",
    "package/test_quickstarts.py",
    "bundle/test_bundle.py",
    "ledger/test_kill.py",
    "replay/test_candidate.py",
    "e2e/test_stopping.py",
    "ops/test_broken_configurations.py",
    "recorded/test_recorded_calls.py",
    "ledger/test_certifying.py",
    "client/test_client_closing.py",
    "e2e/test_canaries.py",
    "grpc/test_codec.py",
    "dynamic_keys/test_outages.py",
    "loop/test_fifty_milliseconds.py",
)
"""The longest first. One that is not here begins in its place, behind all of these."""
_HERE = Path(__file__).parent
_TURNS = {_HERE / name: turn for turn, name in enumerate(LONGEST)}


def turn(path: Path) -> int:
    """A file's place among the longest, or behind them."""
    return _TURNS.get(path, len(LONGEST))
