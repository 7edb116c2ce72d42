"""Every place of OpenAI's requests that takes an id is known: the SDK's own types are walked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.call import Call
from broker.model.operation import Operation
from broker.shaping.made import without
from broker.shaping.mentions import Mentions, mentions
from tests.objects.generated import FOREIGN, TYPES, planted

_WITHIN_THE_BODY = (
    ".call_id",
    ".caller_id",
    ".tool_call_id",
    ".tool_calls[]<function>.id",
    ".tool_calls[]<custom>.id",
    "_safety_checks[].id",
)
_POLICYS = (".connector_id", ".tunnel_id")

CASES = [(operation, place, body) for operation in TYPES for place, body in planted(operation)]
LOCAL = [each for each in CASES if each[1].endswith(_WITHIN_THE_BODY)]
NAMING = [each for each in CASES if not each[1].endswith((*_WITHIN_THE_BODY, *_POLICYS))]
POLICYS = [each for each in CASES if each[1].endswith(_POLICYS)]


def named(operation: Operation, body: dict[str, Any]) -> Mentions:
    return mentions(Call(operation, "POST", "/v1/x", b"{}", body, None))


def responses(**fields: Any) -> Mentions:
    return named(Operation.RESPONSES, {"model": "gpt-4o", "input": "hi", **fields})


def refers(found: Mentions) -> set[str]:
    return {reference.id for reference in found.references}


def test_the_sdk_names_many_places() -> None:
    """A walk that finds nothing would pass everything below."""
    assert {place for _, place, _ in NAMING} >= {
        "previous_response_id",
        "conversation",
        "conversation.id",
        "prompt.id",
        "messages[]<assistant>.audio.id"
        if any("<assistant>" in c[1] for c in CASES)
        else "messages[].audio.id",
        "tools[]<file_search>.vector_store_ids",
        "tools[]<code_interpreter>.container",
    }
    assert len(NAMING) > 150


@pytest.mark.parametrize(("operation", "place", "body"), NAMING, ids=[f"{o}: {p}" for o, p, _ in NAMING])
def test_every_field_that_takes_an_id_is_found(
    operation: Operation, place: str, body: dict[str, Any]
) -> None:
    found = named(operation, body)
    if FOREIGN in refers(found):
        assert all(each.kind and each.where for each in found.references)
    else:  # it stands beside all it means; where it is another's it does not go on
        assert FOREIGN in {each.id for each in found.retold}
        assert FOREIGN not in str(without(body, [each.path for each in found.retold]))


@pytest.mark.parametrize(("operation", "place", "body"), POLICYS, ids=[f"{o}: {p}" for o, p, _ in POLICYS])
def test_a_connector_is_policys_to_allow(operation: Operation, place: str, body: dict[str, Any]) -> None:
    assert any(FOREIGN in reach for reach in named(operation, body).reaches)


@pytest.mark.parametrize(("operation", "place", "body"), LOCAL, ids=[f"{o}: {p}" for o, p, _ in LOCAL])
def test_a_label_within_the_body_is_no_object(operation: Operation, place: str, body: dict[str, Any]) -> None:
    assert FOREIGN not in refers(named(operation, body))


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"file_id": FOREIGN, "id": FOREIGN}},
        {"client_metadata": {"session_id": FOREIGN, "thread_id": FOREIGN}},
        {"prompt_cache_key": FOREIGN, "user": FOREIGN, "safety_identifier": FOREIGN},
        {"input": f"Please look at {FOREIGN} and conv_1."},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": FOREIGN}]}]},
        {
            "input": [
                {
                    "type": "function_call",
                    "call_id": "c",
                    "name": "f",
                    "arguments": f'{{"file_id":"{FOREIGN}"}}',
                }
            ]
        },
        {
            "tools": [
                {
                    "type": "function",
                    "name": "f",
                    "parameters": {"default": {"file_id": FOREIGN, "id": FOREIGN}},
                }
            ]
        },
        {
            "tools": [
                {
                    "type": "function",
                    "name": "f",
                    "parameters": {"properties": {"conversation": {"const": FOREIGN}}},
                }
            ]
        },
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": {"id": FOREIGN, "item_id": FOREIGN}}
            }
        },
    ],
    ids=str,
)
def test_text_labels_and_schemas_name_no_object(fields: dict[str, Any]) -> None:
    assert responses(**fields) == Mentions()


def test_a_variable_of_a_stored_prompt_may_be_called_anything_and_may_be_a_file() -> None:
    variables = {"customer_id": "42", "page": {"type": "input_file", "file_id": "file-1"}}
    found = responses(prompt={"id": "pmpt_1", "variables": variables})
    assert refers(found) == {"pmpt_1", "file-1"}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"id": "msg_1", "type": None},
        {"id": "msg_1", "type": None, "note": "x"},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"},
        {"id": "msg_1", "type": "item_reference", "role": "user", "content": "x"},
        {"id": "msg_1", "type": "reasoning", "summary": []},
        {"id": "msg_1", "type": "reasoning", "summary": [], "encrypted_content": ""},
        {"id": "msg_1", "type": "image_generation_call", "result": None},
        {"id": "msg_1", "type": "something_new", "content": "x"},
    ],
    ids=str,
)
def test_an_item_that_means_what_is_kept_under_its_id(item: dict[str, Any]) -> None:
    assert refers(responses(input=[item])) == {"msg_1"}


@pytest.mark.parametrize(
    "item",
    [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "x"}],
        },
        {"id": "msg_1", "role": "user", "content": "x"},
        {"id": "msg_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA"},
        {"id": "msg_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"id": "msg_1", "type": "image_generation_call", "result": "aGk="},
        {"id": "msg_1", "type": "compaction", "encrypted_content": "gAAAAA"},
    ],
    ids=str,
)
def test_an_item_that_says_all_itself_names_no_object(item: dict[str, Any]) -> None:
    found = responses(input=[item])
    assert not found.references
    assert [(each.id, each.path) for each in found.retold] == [("msg_1", ("input", 0, "id"))]


def test_an_approval_of_what_is_sent_along_names_no_object() -> None:
    request = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "s",
        "name": "n",
        "arguments": "{}",
    }
    answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    assert refers(responses(input=[request, answer])) == set()
    assert refers(responses(input=[answer])) == {"mcpr_1"}


REACHES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, set()),
    "not kept": ({"store": False, "background": False}, set()),
    "kept": ({"store": True}, {"store"}),
    "in the background": ({"background": True}, {"background"}),
    "a function": ({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]}, set()),
    "a server": (
        {
            "tools": [
                {"type": "mcp", "server_label": "x", "server_url": "https://MCP.example.org:8443/sse?a=b"}
            ]
        },
        {"tool:mcp", "server:mcp.example.org:8443"},
    ),
    "a server that parsers read differently": (
        {"tools": [{"type": "mcp", "server_url": "https://good.example\\@evil.example/"}]},
        {"tool:mcp", "server:?"},
    ),
    "a server that names a user": (
        {"tools": [{"type": "mcp", "server_url": "https://good.example@evil.example/"}]},
        {"tool:mcp", "server:?"},
    ),
    "a server without TLS": (
        {"tools": [{"type": "mcp", "server_url": "http://a.example"}]},
        {"tool:mcp", "server:?"},
    ),
    "a connector": (
        {"tools": [{"type": "mcp", "connector_id": "connector_gmail"}]},
        {"tool:mcp", "connector:connector_gmail"},
    ),
    "an image model": (
        {"tools": [{"type": "image_generation", "model": "gpt-image-1", "svg": {"model": "gpt-5"}}]},
        {"tool:image_generation", "model:gpt-image-1", "model:gpt-5"},
    ),
    "a search": ({"tools": [{"type": "web_search_preview"}]}, {"tool:web_search_preview"}),
    "a chat that searches": ({"web_search_options": {}}, {"tool:web_search"}),
    "a tool within a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp", "server_label": "x"}]}]},
        {"tool:mcp"},
    ),
    "a tool that an item of the input brings along": (
        {
            "input": [
                {"type": "additional_tools", "tools": [{"type": "mcp", "server_url": "https://a.example"}]}
            ]
        },
        {"tool:mcp", "server:a.example"},
    ),
    "a container with a network": (
        {
            "tools": [
                {
                    "type": "code_interpreter",
                    "container": {
                        "type": "auto",
                        "network_policy": {"type": "allowlist", "allowed_domains": ["a.b"]},
                    },
                }
            ]
        },
        {"tool:code_interpreter", "network:a.b"},
    ),
    "a tool nobody knows": ({"tools": [{"type": "Tool of tomorrow"}]}, {"tool:?"}),
    "a computer": ({"tools": [{"type": "computer_use_preview"}]}, {"tool:computer_use_preview"}),
    "an input that speaks of a model": ({"input": [{"role": "user", "content": "x", "model": "m"}]}, set()),
    "a server that calls itself a file": ({"server_url": "file:///etc/passwd"}, {"server:?"}),
}


@pytest.mark.parametrize(("fields", "expected"), REACHES.values(), ids=REACHES)
def test_what_a_call_reaches(fields: dict[str, Any], expected: set[str]) -> None:
    assert set(responses(**fields).reaches) == expected


KEYS = st.sampled_from(
    ["input", "tools", "id", "file_id", "file_ids", "metadata", "type", "content", "annotations"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([FOREIGN, "message", "mcp", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_is_retold_can_be_left_out(body: dict[str, Any]) -> None:
    found = named(Operation.RESPONSES, body)
    left = named(Operation.RESPONSES, dict(without(body, [each.path for each in found.retold])))
    assert not left.retold
    assert refers(left) <= refers(found)
