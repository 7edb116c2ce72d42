"""Messages ↔ JSON: nothing is lost, nothing is invented, nothing is said twice."""

from __future__ import annotations

from typing import cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gen.broker.v1 import audit_pb2, chat_pb2, common_pb2, openai_pb2
from broker.listeners.grpc.codec import DocumentError, from_document, to_document
from broker.listeners.grpc.shapes import STRUCT, MessageShape, enum_texts, is_map, shape_of
from tests.sizes import sized

Json = st.SearchStrategy[object]
_SERVICE = openai_pb2.DESCRIPTOR.services_by_name["OpenAIService"]
_BODIES = [
    GetMessageClass(side)
    for method in _SERVICE.methods
    for side in (method.input_type, method.output_type)
    if side.name not in ("GetModelRequest", "ListModelsRequest")
] + [audit_pb2.Record]

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_number = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_leaf = st.none() | st.booleans() | _number | _text
_json = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3), max_leaves=6
)
_objects = st.dictionaries(_text, _json, max_size=3)


def _documents(descriptor: Descriptor, depth: int = 0) -> Json:
    """JSON that a message of this type could stand for, with unknown members and odd values mixed in."""
    if descriptor.full_name == STRUCT:
        return _objects
    shape = shape_of(descriptor)
    fields = [field for field in descriptor.fields if field.name not in ("extra", "extra_json")]
    if shape is MessageShape.OBJECT:
        known = {field.name: _values(field, depth) | _json for field in fields} if depth < 4 else {}
        unknown = st.dictionaries(_text | st.sampled_from(["extra", "extra_json"]), _json, max_size=2)
        typed = st.fixed_dictionaries({}, optional=known)
        return st.builds(lambda rest, named: {**rest, **named}, unknown, typed)
    if shape is MessageShape.UNION:
        return st.one_of(*(_values(field, depth) for field in fields))
    return _values(fields[0], depth)


def _values(field: FieldDescriptor, depth: int) -> Json:
    if is_map(field) and field.message_type is not None:
        value = field.message_type.fields_by_name["value"]
        return st.dictionaries(_text, _single(value, depth), max_size=3)
    single = _single(field, depth)
    return st.lists(single, max_size=3) if field.is_repeated else single


def _single(field: FieldDescriptor, depth: int) -> Json:
    if field.message_type is not None:
        inner = field.message_type
        return st.deferred(lambda: _documents(inner, depth + 1))
    if field.enum_type is not None:
        return st.sampled_from([*enum_texts(field.enum_type).values(), "unspecified", "newer"])
    return {
        FieldDescriptor.CPPTYPE_STRING: _text,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_INT64: st.integers(),
        FieldDescriptor.CPPTYPE_DOUBLE: _number,
    }[field.cpp_type]


def _tagged(value: object) -> object:
    """Tells true from 1, which Python holds equal; 1 and 1.0 are the same JSON number."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return {name: _tagged(item) for name, item in value.items()}
    return [_tagged(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("body", _BODIES, ids=lambda body: body.DESCRIPTOR.name)
def test_a_document_survives_both_directions_and_the_wire(body: type[Message]) -> None:
    @settings(max_examples=sized(20, 600))
    @given(_documents(cast(Descriptor, body.DESCRIPTOR)).filter(lambda document: isinstance(document, dict)))
    def survives(document: object) -> None:
        message = body.FromString(from_document(body, document).SerializeToString())
        assert _tagged(to_document(message)) == _tagged(document)

    survives()


@settings(max_examples=sized(40, 1000))
@given(_objects)
def test_a_struct_survives(document: dict[str, object]) -> None:
    message = from_document(chat_pb2.WebSearchOptions, {"user_location": document})
    assert _tagged(to_document(message)) == _tagged({"user_location": document})


def test_explicit_zero_false_empty_and_null_are_told_from_absent() -> None:
    document = {"temperature": 0, "max_completion_tokens": 0, "store": False, "user": "", "seed": None}
    message = from_document(openai_pb2.CreateChatCompletionRequest, document)
    assert message.HasField("temperature")
    assert not message.HasField("top_p")
    assert to_document(message) == document


def test_the_usage_chunk_keeps_its_empty_choices() -> None:
    chunk = {"id": "c", "choices": [], "usage": {"total_tokens": 3}}
    message = from_document(openai_pb2.StreamChatCompletionResponse, chunk)
    assert message.usage.total_tokens == 3
    assert to_document(message) == chunk


def test_every_documented_form_of_a_prompt_is_typed() -> None:
    for value, member in (
        (["a", "b"], "texts"),
        ("a", "text"),
        ([1, 2], "tokens"),
        ([[1], [2]], "token_lists"),
    ):
        message = from_document(openai_pb2.CreateCompletionRequest, {"prompt": value})
        assert message.prompt.WhichOneof("value") == member
        assert to_document(message) == {"prompt": value}


def test_integers_of_any_size_keep_every_digit() -> None:
    document = {"seed": 2**63, "new": [2**53 + 1, -(2**200)]}
    message = from_document(openai_pb2.CreateChatCompletionRequest, document)
    assert message.extra_json["seed"] == str(2**63)
    assert to_document(message) == document


def test_a_wrong_typed_reply_field_is_kept_and_not_refused() -> None:
    document = {"id": 7, "usage": "none", "choices": [{"index": "first"}, 3], "created": 1.5}
    message = from_document(openai_pb2.CreateChatCompletionResponse, document)
    assert to_document(message) == document


def test_deep_values_reach_a_default_parser() -> None:
    deep: object = 1
    for _ in range(60):
        deep = {"d": deep}
    raw = from_document(openai_pb2.CreateEditResponse, {"new": deep}).SerializeToString()
    assert to_document(openai_pb2.CreateEditResponse.FromString(raw)) == {"new": deep}


def test_key_order_of_a_schema_can_be_kept() -> None:
    schema = '{"z":{},"a":{},"m":{}}'
    message = common_pb2.FunctionDefinition(name="f", extra_json={"parameters": schema})
    parameters = to_document(message)["parameters"]
    assert isinstance(parameters, dict)
    assert list(parameters) == ["z", "a", "m"]


@pytest.mark.parametrize("hidden", [{"extra": {"model": "b"}}, {"extra_json": {"model": '"b"'}}])
def test_a_second_value_smuggled_through_extra_is_refused(hidden: dict[str, dict[str, str]]) -> None:
    message = openai_pb2.CreateChatCompletionRequest(model="a", **hidden)  # type: ignore[arg-type]
    with pytest.raises(DocumentError, match="given twice"):
        to_document(message)


INFINITE = {"x": float("inf")}


def _chat(**fields: object) -> Message:
    return openai_pb2.CreateChatCompletionRequest(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (_chat(temperature=float("nan")), "temperature"),
        (_chat(messages=[{"role": 2}, {"role": 0}]), "messages[1].role"),
        (_chat(messages=[{"role": 99}]), "messages[0].role"),
        (_chat(messages=[{"content": {"parts": {"items": [{}, {"image_url": {"extra": INFINITE}}]}}}]),
         "messages[0].content[1].image_url"),
        (_chat(stop={}), "stop"),
        (_chat(extra_json={"a": '{"b":1,"b":2}'}), ""),
        (_chat(extra_json={"a": "NaN"}), ""),
        (_chat(extra=Struct(fields={"a": {}})), ""),  # type: ignore[dict-item]
    ],
)  # fmt: skip
def test_what_stands_for_no_json_is_refused_by_name(message: Message, param: str) -> None:
    with pytest.raises(DocumentError) as caught:
        to_document(message)
    assert caught.value.param == param


@pytest.mark.parametrize("document", [[], "x", None, 1])
def test_a_reply_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(DocumentError):
        from_document(openai_pb2.CreateEditResponse, document)


def test_every_message_follows_one_shape_and_every_object_can_hold_unknown_members() -> None:
    seen: set[str] = set()
    waiting = [cast(Descriptor, body.DESCRIPTOR) for body in _BODIES]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen or descriptor.full_name == STRUCT:
            continue
        seen.add(descriptor.full_name)
        if not descriptor.GetOptions().map_entry:
            shape = shape_of(descriptor)
            typed = (field for field in descriptor.fields if field.name not in ("extra", "extra_json"))
            plain = [field for field in typed if not field.is_repeated]
            assert shape is not MessageShape.OBJECT or all(field.has_presence for field in plain)
        waiting.extend(field.message_type for field in descriptor.fields if field.message_type is not None)
    assert len(seen) > 60
