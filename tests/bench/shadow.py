"""What a call pays for being observed by a shadow, and how many decisions a shadow judges a second:

    python -m tests.bench.shadow [--policies DIR]

Knows the Shadow and a real log. A call pays only `observe`.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from broker.adapters.clock import SystemClock
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import prove
from broker.adapters.shadow import QUEUE, ShadowObserver
from broker.model.decision import CallDecision, Content, PolicyVersion
from broker.ports import Observation
from tests.ledger.support import ROOT, opened
from tests.policy.documents import ASSISTANT, call

from .claims import Claim
from .install import say

ROUNDS = 20
BOUND_US = 20.0
_ENFORCED = CallDecision(True, "granted", "", PolicyVersion("live", "1" * 64), Content())


def main() -> None:
    """Prints both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=Path, default=ROOT / "policies")
    observed_us, judged = asyncio.run(measure(parser.parse_args().policies))
    say(judge(observed_us).line())
    say(f"{judged:,.0f} decisions judged and recorded a second")


async def measure(policies: Path) -> tuple[float, float]:
    """Microseconds of one `observe`, every decision sampled; and decisions judged a second."""
    paid = waited = 0.0
    with tempfile.TemporaryDirectory() as home:
        async with opened(Path(home)) as log:
            shadow = ShadowObserver(EmbeddedAuthorizer(policies, prove), log, SystemClock(), sample=1.0)
            shadow.start()
            for number in range(ROUNDS):
                documents = [call(tokens_out=number * QUEUE + each) for each in range(QUEUE)]
                begun = time.perf_counter()
                for document in documents:
                    shadow.observe(_observation(document))
                observed = time.perf_counter()
                while _done(shadow) < (number + 1) * QUEUE:  # noqa: ASYNC110 - counts have no event
                    await asyncio.sleep(0.01)
                paid += observed - begun
                waited += time.perf_counter() - observed
            say(str(shadow.tally))
            await shadow.aclose()
    return paid / (ROUNDS * QUEUE) * 1e6, ROUNDS * QUEUE / waited


def judge(observed_us: float) -> Claim:
    """At most 20 µs on the path."""
    return Claim("shadow: observe, mean µs", observed_us, BOUND_US, False)


def _observation(document: dict[str, object]) -> Observation:
    return Observation("call_1", "alice", ASSISTANT, "demo", "chat", "gpt-4o", document, _ENFORCED)


def _done(shadow: ShadowObserver) -> int:
    tally = shadow.tally
    return tally.agreed + tally.allow_to_deny + tally.deny_to_allow + tally.failed + tally.dropped


if __name__ == "__main__":
    main()
