"""How long `broker policy replay` takes over a log of varied decisions, each with its outcome. Run it alone:

    python -m tests.bench.replay [--decisions 100000] [--policies DIR]

Knows the command and a log it writes itself. No two inputs are equal, so that no evaluation is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from broker.errors import Kind
from broker.model.record import Record, RecordType
from tests.ledger.support import ROOT, opened
from tests.policy.documents import call

from .claims import Claim
from .install import say

DECISIONS = 100_000
BOUND_SECONDS = 60.0
_TOGETHER = 1000  # appends in flight, so that they share syncs
_NAMES = ("assistant", "explorer", "batch", "intruder", "assistant", "explorer", "assistant", "explorer")
_MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3")
_ALLOWED = {"assistant": frozenset(_MODELS[:2]), "explorer": frozenset(_MODELS)}


def main() -> None:
    """Writes the log, times the command, prints the figure; exits 1 above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--policies", type=Path, default=ROOT / "policies")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        say(f"writing a log of {asked.decisions:,} decisions")
        asyncio.run(_write(Path(home), asked.decisions))
        seconds, report = measure(Path(home) / "log", asked.policies)
    say(json.dumps(report))
    claim = judge(seconds, asked.decisions)
    say(claim.line())
    sys.exit(not claim.holds)


def measure(log: Path, policies: Path) -> tuple[float, dict[str, object]]:
    """Seconds that the command took, its start and end included, and what it counted."""
    command = [sys.executable, "-m", "broker.cli.main", "policy", "replay", "--json"]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, "--log", str(log), "--policies", str(policies)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begun
    if not done.stdout:
        raise SystemExit(done.stderr)
    report = json.loads(done.stdout)
    names = ("verdict", "compared", "agreed", "agreed_by_another_rule", "uncovered", "not_evaluated")
    return seconds, {name: report[name] for name in names}


def judge(seconds: float, decisions: int) -> Claim:
    """100,000 recorded decisions replayed in at most 60 s (issue 4)."""
    return Claim(f"policy replay: {decisions:,} decisions, s", seconds, BOUND_SECONDS, False)


async def _write(home: Path, decisions: int) -> None:
    async with opened(home) as log:
        records = _records(decisions)
        while together := list(islice(records, _TOGETHER)):
            await asyncio.gather(*map(log.append, together))


def _records(decisions: int) -> Iterator[Record]:
    for number in range(decisions):
        name, model = _NAMES[number % len(_NAMES)], _MODELS[number // len(_NAMES) % len(_MODELS)]
        allowed = model in _ALLOWED.get(name, ())
        yield _decided(number, name, model, allowed=allowed)
        if allowed:
            yield Record(RecordType.OUTCOME, f"call_{number:08}", user="alice", operation="chat", status=200)


def _decided(number: int, name: str, model: str, *, allowed: bool) -> Record:
    document = call(name, model, *(("pii.email",) if number % 5 == 0 else ()), tokens_out=1 + number)
    subject = document["subject"]
    assert isinstance(subject, dict)
    return Record(
        RecordType.INTENT if allowed else RecordType.DENIED,
        f"call_{number:08}",
        user=f"user-{number % 997}",
        subject=subject["id"],
        actor_chain=(),
        tenant="demo",
        cert_sha256="c" * 64,
        token_id="tok_" + "1" * 32,
        transport="https",
        operation="chat",
        model_requested=model,
        stream=False,
        decision="allow" if allowed else "deny",
        reason=None if allowed else Kind.POLICY_DENIED.value,
        rule="granted" if allowed else "model_not_granted",
        policy_revision="recorded",
        policy_sha256="a" * 64,
        policy_input=json.dumps(document, sort_keys=True, separators=(",", ":")),
    )


if __name__ == "__main__":
    main()
