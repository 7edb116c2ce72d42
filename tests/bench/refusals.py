"""How long a call waits for its refusal while OPA fails: `python -m tests.bench.refusals`.

For each fault, calls of fresh authorizers: the first ones are asked of OPA and meet the deadline of 50 ms,
later ones find the breaker open. The claim is that of issue 4: the deadline and 20 ms more. Needs
`make servers`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import structlog

from broker.adapters.clock import SystemClock
from broker.adapters.opa import OpaAuthorizer, Sidecar
from broker.errors import BrokerError
from broker.model.answers import parse_call_decision
from broker.ports import DecisionPoint
from tests.bench.claims import Claim
from tests.opa.sidecar import RunningOpa, running_opa, unheard
from tests.opa.switch import FAULTS, switch
from tests.policy.documents import call
from tests.ports import free_port

DEADLINE_MS, MORE_MS = 50.0, 20.0
AUTHORIZERS, CALLS = 10, 6


async def waits(url: str) -> list[float]:
    """Milliseconds of each refusal. Raises AssertionError where a call is decided."""
    took: list[float] = []
    for _ in range(AUTHORIZERS):
        authorizer = OpaAuthorizer(Sidecar(url), SystemClock(), deadline_seconds=DEADLINE_MS / 1000)
        await authorizer.start(unheard)
        for _ in range(CALLS):
            begun = time.perf_counter()
            try:
                verdict = await authorizer.evaluate(DecisionPoint.CALLS, call())
                parse_call_decision(verdict.result, verdict.policy, found=frozenset())
            except BrokerError:
                took.append((time.perf_counter() - begun) * 1000)
            else:
                raise AssertionError("a call was decided while OPA failed")
        await authorizer.aclose()
    return took


def _stopped(stack: ExitStack, scratch: Path) -> RunningOpa:
    opa = stack.enter_context(running_opa(scratch))
    opa.signal(signal.SIGSTOP)
    return opa


async def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found: dict[str, list[float]] = {"killed": await waits(f"http://127.0.0.1:{free_port()}")}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found["stopped"] = await waits(_stopped(stack, scratch).url)
        between = stack.enter_context(switch(free_port()))
        for name, fault in FAULTS.items():
            between.turn(fault)
            found[name] = await waits(between.url)
    for name, took in found.items():
        print(f"{name:28} {len(took)} refusals   longest {max(took):5.1f} ms")
    longest = max(max(took) for took in found.values())
    claim = Claim("the longest wait for a refusal, ms", longest, DEADLINE_MS + MORE_MS, at_least=False)
    print(claim.line())
    return 0 if claim.holds else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
