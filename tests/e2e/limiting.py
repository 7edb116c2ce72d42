"""Small policies that limit each caller as a test says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from broker.model.units import SECONDS_PER_DAY
from tests.running import SMALL_POLICIES, RunningBroker, start_broker

DEV = "spiffe://dev.broker/ns/demo/sa"
MONTH = 30 * SECONDS_PER_DAY


def limiting(home: Path) -> Path:
    """The folder `policies` in `home`: each subject is limited as the data say, and all have the same key."""
    policies = shutil.copytree(SMALL_POLICIES[1], home / "policies")
    calls, path = policies / "calls.rego", policies / "data.json"
    rules = calls.read_text()
    assert '"limits": {}' in rules
    calls.write_text(rules.replace('"limits": {}', '"limits": object.get(data.limits, input.subject.id, {})'))
    data = json.loads(path.read_text())
    data |= {"credentials": dict.fromkeys(data["credentials"], "openai"), "limits": {}}
    path.write_text(json.dumps(data))
    return policies


def limit(policies: Path, identity: str, limits: dict[str, Any]) -> None:
    """What an identity may spend."""
    path = policies / "data.json"
    data = json.loads(path.read_text())
    data["limits"][f"{DEV}/{identity}"] = limits
    path.write_text(json.dumps(data))


def by_user(policies: Path) -> Path:
    """Each user has what its subject may spend, and no share of another's."""
    calls = policies / "calls.rego"
    rules = calls.read_text()
    assert '"account": input.subject.id' in rules
    calls.write_text(rules.replace('"account": input.subject.id', '"account": input.token.user'))
    return policies


@contextmanager
def limited_broker(home: Path, limits: Mapping[str, dict[str, Any]]) -> Iterator[RunningBroker]:
    """A broker in `home` whose identities are limited so; ended afterwards."""
    policies = limiting(home)
    for identity, its_own in limits.items():
        limit(policies, identity, its_own)
    running = start_broker(home / "b", "--policies", str(policies))
    yield running
    running.stop()
