"""A role's bound of output reaches upstream, whatever the call and its token leave out or ask for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.staged import Staged
from tests.e2e.test_tokens import call, issue
from tests.e2e.upstreams import scripted_upstream
from tests.policy.engines import POLICIES
from tests.running import start_broker

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say."}]}
PLACES = {"ceilings": ("requires", "ceilings"), "caps": ("shape", "caps")}
BOUNDED = {"ceilings": "assistant", "caps": "explorer"}
"""Whose role is bounded there."""


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """A broker with two roles that may have 40 tokens of output."""
    home = tmp_path_factory.mktemp("bounded")
    ignored = shutil.ignore_patterns("demonstration_data_test.rego")
    policies = Path(shutil.copytree(POLICIES, home / "policies", ignore=ignored))
    data = json.loads((policies / "data.json").read_text())
    for place, (outer, inner) in PLACES.items():
        data["roles"][BOUNDED[place]][outer] = {inner: {"max_tokens": 40}}
    (policies / "data.json").write_text(json.dumps(data))
    with scripted_upstream() as upstream:
        running = start_broker(home / "b", "--upstream", upstream.url, "--policies", str(policies))
        try:
            yield Staged(running, upstream)
        finally:
            running.stop()


@pytest.mark.parametrize(
    ("path", "field", "body"),
    [
        ("/v1/chat/completions", "max_completion_tokens", CHAT),
        ("/v1/responses", "max_output_tokens", {"model": "gpt-4o", "input": "Say."}),
        ("/v1/responses", "max_output_tokens", {"model": "gpt-4o", "input": "Say.", "max_tokens": 5}),
        ("/v1/edits", "max_completion_tokens", {"model": "gpt-4o", "input": "helo", "instruction": "Fix it"}),
    ],
)
@pytest.mark.parametrize("token", [{}, {"max_tokens": "1000"}, {"max_tokens": "30"}])
@pytest.mark.parametrize("place", PLACES)
def test_a_call_that_names_no_bound_is_sent_with_its_roles(
    bounded: Staged, place: str, path: str, field: str, body: dict[str, object], token: dict[str, str]
) -> None:
    """A ceiling let it produce all that the model can; a token with a higher one replaced the cap."""
    bounded.upstream.answer(lambda exchange: exchange.whole(200, b"{}"))
    held = issue(bounded.broker, BOUNDED[place], **token)
    reply = call(bounded.broker, BOUNDED[place], held, path, **body)
    assert reply.status_code == 200, reply.text
    assert json.loads(bounded.upstream.bodies[-1])[field] == min(40, int(token.get("max_tokens", 40)))
