"""What deciding costs beyond the embedded engine's own work: `python -m tests.bench.policy`.

OPA behind the port against OPA's bare REST, in turns over one connection each; a kept decision; and what a
denial pays for saying what would have been allowed. The claims are those of issue 4. Needs `make servers`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import aiohttp
import orjson

from broker.adapters.clock import SystemClock
from broker.adapters.decision_cache import CachingAuthorizer
from broker.adapters.opa import OpaAuthorizer, Sidecar
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import prove
from broker.identity.revocation import RevocationSet
from broker.ports import DecisionPoint
from tests.bench.claims import Claim
from tests.bench.decision_latency import cost
from tests.opa.sidecar import POLICIES, running_opa, unheard
from tests.policy.documents import call

ROUNDS = 3_000
BLOCK = 50  # so many in a row of each, in turns: what else the machine does hits both
_NEEDED = re.compile(r"^needed := .*?\n\n", re.MULTILINE | re.DOTALL)
CASES = {"model": call(model="gpt-5"), "content": call("assistant", "gpt-4o", "secret.jwt")}
Ask = Callable[[], Awaitable[object]]


async def _times(asks: dict[str, Ask]) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(ROUNDS):
        for name in asks if number // BLOCK % 2 else reversed(asks):
            begun = time.perf_counter()
            await asks[name]()
            took[name].append((time.perf_counter() - begun) * 1e6)
    return {name: times[len(times) // 10 :] for name, times in took.items()}


async def over_opa(scratch: Path) -> Claim:
    """The port's p50 over that of the same POST by a bare client."""
    with running_opa(scratch) as opa:
        opa.await_bundle()
        authorizer = OpaAuthorizer(Sidecar(opa.url), SystemClock(), deadline_seconds=1)
        await authorizer.start(unheard)
        assert not authorizer.unready(), authorizer.unready()
        document, body = call(), orjson.dumps({"input": call()})
        url = f"{opa.url}/v1/data/broker/calls/decision"
        async with aiohttp.ClientSession() as session:

            async def bare() -> None:
                async with session.post(url, data=body, params={"provenance": "true"}) as answer:
                    orjson.loads(await answer.read())

            took = await _times(
                {"bare": bare, "port": lambda: authorizer.evaluate(DecisionPoint.CALLS, document)}
            )
        await authorizer.aclose()
    for name, times in took.items():
        print(
            f"OPA, {name:6} p50 {median(times):6.0f} µs   p99 {sorted(times)[len(times) * 99 // 100]:6.0f} µs"
        )
    ratio = median(took["port"]) / median(took["bare"])
    return Claim("over OPA, × its bare REST, p50", ratio, 1.5, at_least=False)


async def kept(scratch: Path) -> Claim:
    """A decision that policy lets be kept, asked again."""
    policies = Path(shutil.copytree(POLICIES, scratch / "kept"))
    data = orjson.loads((policies / "data.json").read_bytes())
    data["roles"]["assistant"]["cache_for"] = 60
    (policies / "data.json").write_bytes(orjson.dumps(data))
    authorizer = CachingAuthorizer(EmbeddedAuthorizer(policies, prove), RevocationSet(), SystemClock())
    document = call()
    took = await _times({"kept": lambda: authorizer.evaluate(DecisionPoint.CALLS, document)})
    return Claim("a kept decision, p50 µs", median(took["kept"]), 15, at_least=False)


async def counterfactual(scratch: Path) -> list[Claim]:
    """Each denial with its changes, less the same by policies that name none."""
    silent = Path(shutil.copytree(POLICIES, scratch / "silent"))
    text = (silent / "denial.rego").read_text()
    mute, found = _NEEDED.subn("needed := []\n\n", text)
    assert found == 1, "denial.rego is no longer as this bench knows it"
    (silent / "denial.rego").write_text(mute)
    claims = []
    for name, document in CASES.items():
        assert await _changes(EmbeddedAuthorizer(POLICIES, prove), document)
        assert not await _changes(EmbeddedAuthorizer(silent, prove), document)
        more = [await _fresh(POLICIES, document) - await _fresh(silent, document) for _ in range(5)]
        claims.append(
            Claim(f"a denial by {name} that names the change, more µs", median(more), 50, at_least=False)
        )
    return claims


async def _fresh(policies: Path, document: dict[str, object]) -> float:
    """By an engine of its own, which has kept no answer."""
    return await cost(EmbeddedAuthorizer(policies, prove), document, DecisionPoint.CALLS)


async def _changes(authorizer: EmbeddedAuthorizer, document: dict[str, object]) -> object:
    result = (await authorizer.evaluate(DecisionPoint.CALLS, document)).result
    assert isinstance(result, dict)
    return result["changes"]


async def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        claims = [
            await over_opa(Path(scratch)),
            await kept(Path(scratch)),
            *await counterfactual(Path(scratch)),
        ]
    print("\n".join(claim.line() for claim in claims))
    return 0 if all(claim.holds for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
