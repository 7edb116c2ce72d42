"""Redaction end to end: what upstream received, what the caller was told, what the log says."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from broker.model.record import RecordType
from tests.e2e.raw import bearer
from tests.e2e.records import entries
from tests.e2e.staged import Staged

IBAN, CARD = "DE89370400440532013000", 4111111111111111
PNG = "data:image/png;base64,iVBORw0KGgoAAAAN+Be36q7Rt2ZkLw9XdYc4/AAAASUVORK5CYII="
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def chat(staged: Staged, document: dict[str, Any], **headers: str) -> httpx.Response:
    """The explorer's chat; upstream is content with anything."""
    staged.upstream.answer(lambda exchange: exchange.whole(200, b'{"choices": []}'))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with staged.broker.http("explorer") as client:
        return client.post(
            "/v1/chat/completions", json=document, headers={**bearer(staged.broker, "explorer"), **named}
        )


def received(staged: Staged) -> dict[str, Any]:
    [body] = staged.upstream.bodies
    document: dict[str, Any] = json.loads(body)
    return document


def test_what_only_looks_like_a_finding_goes_upstream_byte_for_byte(staged: Staged) -> None:
    texts = ("value 0.5855618635076387 end", "order ae97ba94-d0ed-482f-8f6d-05584ef8aa38 is late", PNG)
    content = [{"type": "text", "text": text} for text in (*texts, "sk-2041-rewrite_invoice_totals_page")]
    document = {**CHAT, "seed": CARD, "messages": [{"role": "user", "content": content}]}
    reply = chat(staged, document)
    assert reply.status_code == 200, reply.text
    assert staged.upstream.bodies == [reply.request.content]


def test_redacted_tool_arguments_are_still_json(staged: Staged) -> None:
    arguments = json.dumps({"to": f"{IBAN}\n", "card": CARD, "n": 1})
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": arguments}}
    answer = {"role": "tool", "tool_call_id": "c1", "content": "done"}
    document = {**CHAT, "messages": [*CHAT["messages"], {"role": "assistant", "tool_calls": [call]}, answer]}
    assert chat(staged, document).status_code == 200
    sent = received(staged)["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent) == {"to": "[REDACTED:pii.iban]\n", "card": 0, "n": 1}


def test_a_redactable_value_in_the_purpose_is_no_500(staged: Staged) -> None:
    reply = chat(staged, CHAT, x_broker_purpose=f"refund to {IBAN}")
    assert reply.status_code == 200, reply.text
    assert received(staged) == CHAT


@pytest.mark.parametrize("value", [IBAN, str(CARD), "ann@example.org"])
@pytest.mark.parametrize("field", ["user", "safety_identifier", "model", "x_broker_purpose"])
def test_personal_data_in_a_recorded_name_is_recorded_as_its_commitment(
    staged: Staged, field: str, value: str
) -> None:
    header = field.startswith("x_")
    headers = {field: value} if header else {}
    reply = chat(staged, CHAT if header else {**CHAT, field: value}, **headers)
    assert reply.status_code < 500, reply.text
    records = [e for e in entries(staged.broker.log) if e.record.call_id == reply.headers["x-broker-call-id"]]
    assert records
    assert all(value.encode() not in entry.encode() for entry in records)


def test_a_card_in_a_parameter_is_not_recorded(staged: Staged) -> None:
    reply = chat(staged, {**CHAT, "seed": CARD, "x_limit": CARD})
    mine = [e for e in entries(staged.broker.log) if e.record.call_id == reply.headers["x-broker-call-id"]]
    assert {entry.record.type for entry in mine} == {RecordType.INTENT, RecordType.OUTCOME}
    assert all(str(CARD).encode() not in entry.encode() for entry in mine)
    assert (received(staged)["seed"], received(staged)["x_limit"]) == (CARD, 0)


def test_names_of_a_call_that_was_never_inspected_are_recorded_as_commitments(staged: Staged) -> None:
    document = {"model": "gpt-3.5-turbo-instruct", "prompt": [10**9], "user": IBAN}  # nobody can read it
    with staged.broker.http("explorer") as client:
        reply = client.post("/v1/completions", json=document, headers=bearer(staged.broker, "explorer"))
    assert reply.status_code == 400, reply.text
    mine = [e for e in entries(staged.broker.log) if e.record.call_id == reply.headers["x-broker-call-id"]]
    assert mine
    assert all(IBAN.encode() not in entry.encode() for entry in mine)


@pytest.mark.parametrize("field", ["purpose", "user"])
def test_personal_data_in_a_token_request_is_recorded_as_its_commitment(staged: Staged, field: str) -> None:
    staged.broker.ask_token("explorer", "chat", **{field: f"ann {IBAN}"})
    written = [entry.encode() for entry in entries(staged.broker.log)]
    assert any(b"token.issue" in entry or b'"token"' in entry for entry in written)
    assert all(f"ann {IBAN}".encode() not in entry for entry in written)
