"""`broker serve` without any key: its own token, exchanged; and with a stored key to fall back on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from broker.simulator import Mapped
from tests.commands import typed
from tests.e2e.records import Since
from tests.ephemeral_keys.site import PROJECT, STORED, Site, at, key_refs, keystore, say_hello, site
from tests.running import RunningBroker
from tests.simulator.issuer import SUBJECT, Issuer
from tests.vault.serving import Sections

ACCOUNT = "svc_acct_broker"
NOWHERE = "http://127.0.0.1:1/oauth/token"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("federation") / "broker"
    with site(directory, [issuer.provider(Mapped(SUBJECT, ACCOUNT, PROJECT))]) as here:
        write_token(here, issuer)
        yield here


@pytest.fixture
def broker(here: Site) -> RunningBroker:
    """One without any stored key; a new one where the test before has ended it."""
    return here.running(sections(here))


@pytest.fixture
def elsewhere(here: Site, issuer: Issuer, tmp_path: Path) -> Iterator[Site]:
    """Another machine at the same OpenAI, for a broker that is configured otherwise."""
    keystore(tmp_path / "broker")
    with at(tmp_path / "broker", here.openai) as elsewhere:
        write_token(elsewhere, issuer)
        yield elsewhere


def write_token(here: Site, issuer: Issuer) -> str:
    token = issuer.token(600)
    (here.directory / "subject.jwt").write_text(token)
    return token


def sections(here: Site, url: str = "", fallback: str = "") -> Sections:
    credential = {
        "upstream_auth": "workload_identity",
        "subject_token": str(here.directory / "subject.jwt"),
        "identity_provider_id": "idp_one",
        "service_account_id": ACCOUNT,
    }
    stored = {"directory": str(here.directory / "keys")} if fallback else {"adapter": "none"}
    return {
        "keys": stored,
        "credentials.openai": {**credential, **({"fallback": fallback} if fallback else {})},
        "workload_identity": {"url": url or f"{here.openai}/oauth/token"},
    }


def metrics(here: Site) -> str:
    broker = here.brokers[-1]
    with broker.http(None) as client:
        return client.get(f"{broker.console}/metrics").text


def test_what_writes_the_token_late_is_waited_for(here: Site, issuer: Issuer) -> None:
    for running in here.brokers:
        running.stop()
    (here.directory / "subject.jwt").unlink()
    broker = here.serve(sections(here))
    with pytest.raises(openai.APIStatusError, match="cannot be read"):
        say_hello(broker)
    write_token(here, issuer)
    deadline = time.monotonic() + 5.0
    while True:
        try:
            assert say_hello(broker).startswith("Echo: hello")
            break
        except openai.APIStatusError:
            assert time.monotonic() < deadline, "no recovery within 5 s"
            time.sleep(0.1)


def test_a_credential_without_a_source_is_refused_where_there_is_no_store(broker: RunningBroker) -> None:
    with openai.OpenAI(
        base_url=f"{broker.https}/v1",
        api_key=broker.token("batch"),
        http_client=broker.http("batch"),  # type: ignore[arg-type]
        max_retries=0,
    ) as client:
        with pytest.raises(openai.APIStatusError, match="No store of keys") as caught:
            client.embeddings.create(model="text-embedding-3-small", input="hello")
        assert caught.value.status_code == 503


def test_there_is_no_key_to_list_where_none_is_stored(here: Site, broker: RunningBroker) -> None:
    assert broker.process.poll() is None
    ended = typed("keys", "list", "--config", here.directory / "broker.toml")
    assert ended.returncode == 3
    assert "stores no key" in ended.stderr + ended.stdout


def test_calls_go_without_any_stored_key(here: Site, broker: RunningBroker) -> None:
    subject = (here.directory / "subject.jwt").read_text()
    since = Since.now(broker)
    assert say_hello(broker).startswith("Echo: hello")
    ((key_ref, key_version),) = key_refs(since)
    assert key_ref == "workload_identity:openai"
    assert here.begun() - 1 < key_version < time.time() + 1
    assert [account["id"] for account in here.organization()["accounts"] if account["live"]] == [ACCOUNT]
    broker.stop()
    written = here.written()
    assert "key_issued" in written
    assert subject not in written
    assert subject.rpartition(".")[2] not in written
    assert "at-simulated" not in written


def test_without_the_token_endpoint_calls_are_refused_in_time_and_told_why(elsewhere: Site) -> None:
    broker = elsewhere.serve(sections(elsewhere, NOWHERE))
    began = time.monotonic()
    with pytest.raises(openai.APIStatusError, match="token endpoint cannot be reached") as caught:
        say_hello(broker)
    assert time.monotonic() - began < 2.5
    assert caught.value.status_code == 503
    assert "retry-after" in caught.value.response.headers
    with broker.http(None) as client:
        ready = client.get(f"{broker.console}/readyz")
    assert ready.status_code == 503
    assert "workload identity" in ready.text


def test_with_a_fallback_calls_get_the_stored_key_and_the_operator_is_told(elsewhere: Site) -> None:
    broker = elsewhere.serve(sections(elsewhere, NOWHERE, "stored"))
    since = Since.now(broker)
    assert say_hello(broker).startswith("Echo: hello")
    assert {ref for ref, _ in key_refs(since)} == {"sealed:stored"}
    told = metrics(elsewhere)
    assert 'broker_key_fallback{credential="openai"} 1.0' in told
    assert 'broker_key_fallback_leases_total{credential="openai"} 1.0' in told
    errors = broker.errors.read_text()
    assert "access_token_fallback" in errors
    assert STORED not in errors
