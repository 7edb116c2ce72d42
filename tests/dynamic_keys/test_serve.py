"""`broker serve` with keys that it makes itself: calls, a crash, an end, and who may have the admin key."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import openai
import pytest

from tests.e2e.records import Since
from tests.ephemeral_keys.network import ADMIN_KEY
from tests.ephemeral_keys.site import PROJECT, Site, key_refs, say_hello, site
from tests.running import RunningBroker
from tests.vault.serving import Sections

KEY_PREFIX = "sk-svcacct-"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("dynamic") / "broker") as here:
        yield here


@pytest.fixture
def broker(here: Site) -> RunningBroker:
    """One that has a key of its own; a new one where the test before has ended it."""
    return here.running(sections(here))


def sections(here: Site) -> Sections:
    return {
        "keys": {"directory": str(here.directory / "keys")},
        "credentials.openai": {
            "upstream_auth": "dynamic_key",
            "project": PROJECT,
            "scopes": ["model.request"],
            "life_seconds": 600,
        },
        "dynamic_keys": {"url": f"{here.openai}/v1", "instance": str(here.directory / "instance")},
    }


def test_metrics_tell_when_the_key_ends(broker: RunningBroker) -> None:
    say_hello(broker)
    with broker.http(None) as client:
        metrics = client.get(f"{broker.console}/metrics").text
    assert 'broker_keys_issued_total{credential="openai",outcome="ok"} 1.0' in metrics
    ends = next(line for line in metrics.splitlines() if line.startswith("broker_key_ends_seconds{"))
    assert abs(float(ends.split()[1]) - time.time() - 600) < 60


def test_a_key_opens_no_more_than_its_scopes(broker: RunningBroker) -> None:
    """Policy may be wrong about what a team may do: OpenAI still knows."""
    with openai.OpenAI(
        base_url=f"{broker.https}/v1",
        api_key=broker.token("assistant"),
        http_client=broker.http("assistant"),  # type: ignore[arg-type]
        max_retries=0,
    ) as client:
        assert client.moderations.create(input="hello").results
        with pytest.raises(openai.APIStatusError):
            client.responses.create(model="gpt-4o-mini", input="hello")


def test_a_policy_cannot_lease_the_admin_key(broker: RunningBroker) -> None:
    """It would go upstream with somebody's chat."""
    since = Since.now(broker)
    policies = broker.policies / "data.json"
    grants = json.loads(policies.read_text())
    grants["credentials"]["spiffe://dev.broker/ns/demo/sa/explorer"] = "openai-admin"
    policies.write_text(json.dumps(grants))
    deadline = time.monotonic() + 20
    said = ""
    while time.monotonic() < deadline and "admin key" not in said:
        try:
            say_hello(broker, identity="explorer")
        except openai.APIStatusError as error:
            said = str(error)
        time.sleep(0.2)
    assert "The admin key is for no call" in said
    assert not any(ref.endswith("openai-admin") for ref, _ in key_refs(since))


def test_calls_go_with_a_key_that_exists_only_as_long_as_the_broker(
    here: Site, broker: RunningBroker
) -> None:
    since = Since.now(broker)
    assert say_hello(broker).startswith("Echo: hello")
    ((key_ref, key_version),) = key_refs(since)
    assert key_ref == "dynamic:openai"
    assert here.begun() - 1 < key_version < time.time() + 1
    assert len(here.live()) == 1
    made = [event for event in here.organization()["events"] if event["what"] == "key_created"]
    assert all(abs(event["expires_at"] - event["time"] - 600) < 1 for event in made)
    broker.stop()
    assert here.organization()["accounts"] == []
    written = here.written()
    assert "key_issued" in written
    assert ADMIN_KEY not in written
    assert KEY_PREFIX not in written


def test_a_killed_brokers_key_is_deleted_by_its_next_start(here: Site, broker: RunningBroker) -> None:
    say_hello(broker)
    (orphan,) = here.live()
    broker.kill()
    assert here.live() == [orphan]
    second = here.serve(sections(here))
    assert say_hello(second).startswith("Echo: hello")
    deadline = time.monotonic() + 10
    while orphan in here.live() and time.monotonic() < deadline:
        time.sleep(0.1)
    (alive,) = here.live()
    assert alive != orphan
    second.stop()
    assert here.live() == []
