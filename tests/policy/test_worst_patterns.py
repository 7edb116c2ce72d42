"""The patterns that cost most of what a call may reach. Times are held, so `make test` runs this alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.reached import MOST_TRIES
from broker.errors import BrokerError
from broker.ports import DecisionPoint
from tests.loop.test_fifty_milliseconds import LIMIT_SECONDS
from tests.policy.documents import call
from tests.policy.engines import POLICIES

PATIENCE = 20
"""How often a time is taken at most: what else the machine does counts in each, but not always as much."""
WORST = ["server:*a*b.org", "server:*a*a*b", "server:a*b*b", "server:*a*b*"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    (copied / "own").mkdir(exist_ok=True)
    return copied


def reaching(folder: Path, patterns: list[str]) -> EmbeddedAuthorizer:
    """The policies of the folder, where a role reaches what these find."""
    data = json.loads((folder / "data.json").read_text())
    data["roles"]["assistant"]["reaches"] = {"exact": {}, "patterns": patterns}
    (folder / "data.json").write_text(json.dumps(data))
    return EmbeddedAuthorizer(folder)


def _call_to(many: int) -> dict[str, object]:
    asked = call()
    said = asked["call"]
    assert isinstance(said, dict)
    said["reaches"] = [f"server:{'a' * 120}{'b' * 120}{number:03}" for number in range(many)]
    return asked


@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("worst", WORST)
def test_all_that_a_call_may_reach_under_the_worst_patterns_takes_a_moment(
    folder: Path, worst: str, count: int
) -> None:
    """Some forty servers under three patterns of three stars held up all callers for seconds."""
    authorizer = reaching(folder, [worst] * count)
    for evaluate in (authorizer.evaluate, authorizer.explain):
        asked, spent = _call_to(MOST_TRIES // count), list[float]()
        while len(spent) < PATIENCE and not any(took < LIMIT_SECONDS for took in spent):
            begun = time.thread_time()
            asyncio.run(evaluate(DecisionPoint.CALLS, asked))
            spent.append(time.thread_time() - begun)
        assert min(spent) < LIMIT_SECONDS, (worst, evaluate)
        with pytest.raises(BrokerError, match="can be judged in time"):
            asyncio.run(evaluate(DecisionPoint.CALLS, _call_to(MOST_TRIES // count + 1)))
