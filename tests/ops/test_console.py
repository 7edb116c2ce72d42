"""The console listener: a page, health and metrics, and nothing a caller could use."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.console.app import ConsoleApp, Status
from tests import plain
from tests.running import RunningBroker


def metrics(broker: RunningBroker) -> dict[str, float]:
    """Every sample by name and labels."""
    text = plain.get(f"{broker.console}/metrics").text
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def no_metrics() -> bytes:
    return b""


def test_the_page_names_where_the_broker_is(broker: RunningBroker) -> None:
    reply = plain.get(broker.console)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert re.search(r'<p class="ready">ready</p>', reply.text)
    assert broker.https in reply.text
    assert broker.grpc in reply.text
    assert "<script" not in reply.text


@pytest.mark.parametrize(("path", "said"), [("/healthz", "alive\n"), ("/readyz", "ready\n")])
def test_health_is_one_word(broker: RunningBroker, path: str, said: str) -> None:
    assert plain.get(broker.console + path).text == said


@pytest.mark.parametrize("path", ["/v1/models", "/oauth/token", "/%2e%2e/metrics", "/metrics/", "/readyz/x"])
def test_the_console_serves_nothing_else(broker: RunningBroker, path: str) -> None:
    assert plain.get(broker.console + path).status_code == 404


def test_only_get_is_answered(broker: RunningBroker) -> None:
    assert plain.post(f"{broker.console}/metrics").status_code == 404


def test_a_call_is_counted_once_its_records_are_durable(broker: RunningBroker) -> None:
    outcome = "broker_records_total[('operation', 'embeddings'), ('outcome', '2xx'), ('type', 'outcome')]"
    seconds = "broker_call_seconds_count[('operation', 'embeddings')]"
    tokens = "broker_tokens_total[('direction', 'in')]"
    before = metrics(broker)
    with broker.http("batch") as client:
        reply = client.post(
            "/v1/embeddings",
            json={"model": "text-embedding-3-small", "input": "one two"},
            headers={"authorization": f"Bearer {broker.token('batch')}"},
        )
    assert reply.status_code == 200
    after = metrics(broker)
    assert after["broker_ready[]"] == 1
    for sample in (outcome, seconds):
        assert after[sample] - before.get(sample, 0) == 1
    assert after[tokens] - before.get(tokens, 0) == reply.json()["usage"]["prompt_tokens"]


def test_no_metric_names_a_caller(broker: RunningBroker) -> None:
    broker.token("assistant")
    text = plain.get(f"{broker.console}/metrics").text
    assert not [name for name in ("spiffe:", "tok_", "call_", "assistant", "gpt-") if f'="{name}' in text]
    labels = set(re.findall(r"[{,](\w+)=", text))
    assert labels <= {
        "type",
        "operation",
        "outcome",
        "direction",
        "le",
        "rule",
        "reason",
        "listener",
    }  # closed vocabularies


async def test_an_unready_broker_says_what_is_missing() -> None:
    status = Status((("Log", "<b>"),), lambda: "audit <log>", no_metrics)
    transport = httpx.ASGITransport(ConsoleApp(status))
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        ready, page = await client.get("/readyz"), await client.get("/")
    assert (ready.status_code, ready.text) == (503, "audit <log>\n")
    assert 'class="unready">not ready: audit &lt;log&gt;' in page.text
    assert "<b>" not in page.text
