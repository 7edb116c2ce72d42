"""What one decision of the embedded engine costs: `python -m tests.bench.decision_latency [policies]`.

Every question is a new one (none is answered from what was kept), among 100,000 grants. Microseconds, p50.
"""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import prove
from broker.ports import DecisionPoint
from tests.policy.documents import call

GRANTS = 100_000
QUESTIONS = 1_000
CASES: dict[str, dict[str, object]] = {
    "allowed": call(),
    "allowed, two findings": call("assistant", "gpt-4o", "pii.email", "pii.iban"),
    "denied: model": call(model="gpt-5"),
    "denied: operation": call("batch"),
    "denied: content": call("assistant", "gpt-4o", "secret.jwt"),
    "denied: stranger": call("intruder"),
}


def crowded(source: Path, target: Path) -> Path:
    """A copy of the policies with many grants, and a role that uses every feature."""
    policies = Path(shutil.copytree(source, target / "policies"))
    base = json.loads((policies / "data.json").read_text())
    base["grants"] |= {f"spiffe://x/ns/a/sa/{i}": {"role": "assistant"} for i in range(GRANTS)}
    (policies / "data.json").write_text(json.dumps(base))
    return policies


def questions(document: dict[str, object], point: DecisionPoint) -> Iterator[dict[str, object]]:
    """The same question, each time with another bound, which changes no answer."""
    for number in range(QUESTIONS):
        asked = copy.deepcopy(document)
        if point is DecisionPoint.CALLS:
            asked["estimate"] = {"tokens_in": 1, "tokens_out_max": number, "cost_micro_usd": number}
        yield asked


async def cost(authorizer: EmbeddedAuthorizer, document: dict[str, object], point: DecisionPoint) -> float:
    took = []
    for asked in questions(document, point):
        begun = time.thread_time()
        await authorizer.evaluate(point, asked)
        took.append(time.thread_time() - begun)
    return median(took) * 1e6


async def main(source: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        authorizer = EmbeddedAuthorizer(crowded(source, Path(scratch)), prove)
        for name, document in CASES.items():
            print(f"{name:28} {await cost(authorizer, document, DecisionPoint.CALLS):6.0f} µs")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "policies"))
