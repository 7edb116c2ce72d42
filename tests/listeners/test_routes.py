"""The route table: complete, authorized, and closed to tricks."""

from __future__ import annotations

import pytest

from broker.errors import Kind
from broker.listeners.fields import OPTIONAL, REQUIRED
from broker.listeners.https import errors
from broker.listeners.https.routes import ROUTES, Body, Open, OwnRoute, TokenRoute, find
from broker.model.operation import AdminAction, Operation


def test_every_route_has_an_authorization() -> None:
    for route in ROUTES:
        assert isinstance(route.authorization, Operation | AdminAction | TokenRoute | OwnRoute | Open), route
        if isinstance(route.authorization, Open):
            assert route.method == "GET"
            assert not route.path.startswith("/v1/")


def test_every_operation_has_exactly_one_route() -> None:
    served = [route.authorization for route in ROUTES if isinstance(route.authorization, Operation)]
    assert sorted(served) == sorted(Operation)


def test_the_fields_of_every_json_body_are_known() -> None:
    takes_json = {route.authorization for route in ROUTES if route.body is Body.JSON}
    assert takes_json - (REQUIRED.keys() | OPTIONAL.keys()) == set()


def test_reading_routes_have_no_body() -> None:
    assert all(route.body is Body.NONE for route in ROUTES if route.method in ("GET", "DELETE"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files"),
        ("POST", "/v1/images/generations"),
        ("PUT", "/v1/chat/completions"),
        ("GET", "/v1/models/../files"),
        ("GET", "/v1/models/..%2Ffiles"),
        ("GET", "/v1/models/%2e%2e"),
        ("GET", "/v1/models/a%00"),
        ("GET", "/v1/responses/../files"),
        ("GET", "/v1/responses/resp_1/../../files"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/V1/chat/completions"),
        ("GET", "/v1/responses/resp%5f1"),
        ("GET", "/metrics"),
    ],
)
def test_path_outside_the_table_is_unknown(method: str, path: str) -> None:
    assert find(method, path) is None


def test_neighbouring_routes_do_not_shadow_each_other() -> None:
    expected = {
        ("POST", "/v1/responses/input_tokens"): Operation.RESPONSES_INPUT_TOKENS,
        ("GET", "/v1/responses/resp_1"): Operation.RESPONSES_GET,
        ("POST", "/v1/responses/resp_1/cancel"): Operation.RESPONSES_CANCEL,
        ("GET", "/v1/chat/completions/chatcmpl-1/messages"): Operation.CHAT_MESSAGES,
        ("DELETE", "/v1/models/ft%3Agpt-4o-mini%3Aorg%3A%3Aid"): Operation.MODELS_DELETE,
    }
    for (method, path), operation in expected.items():
        match = find(method, path)
        assert match is not None
        assert match.route.authorization is operation


def test_model_in_the_path_is_decoded() -> None:
    match = find("GET", "/v1/models/ft%3Agpt-4o-mini%3Aorg%3A%3Aid")
    assert match is not None
    assert match.model == "ft:gpt-4o-mini:org::id"


def test_every_error_kind_has_an_http_rendering() -> None:
    assert set(errors.ROWS) == set(Kind)


def test_the_body_of_a_call_is_none_or_json() -> None:
    """Nothing else is read for an operation: a form is OAuth's, and a multipart body has no kind yet."""
    kinds = {route.body for route in ROUTES if isinstance(route.authorization, Operation)}
    assert kinds == {Body.NONE, Body.JSON}
