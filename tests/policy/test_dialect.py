"""The common dialect: every built-in against what OPA answered, and what is refused when it is loaded."""

from __future__ import annotations

import pytest

from broker.adapters.policyfiles import dialect
from broker.adapters.policyfiles.source import Module
from broker.adapters.rego.engine import Engine
from broker.errors import BrokerError, Kind
from tests.policy.engines import FACTS, UNDEFINED, as_module, expressions


@pytest.mark.parametrize("expression", list(expressions()))
def test_the_embedded_engine_answers_as_opa_did(expression: str) -> None:
    answer = Engine({"m": as_module(expression)}, {}, ["t/r"]).evaluate("t/r", FACTS)
    assert (UNDEFINED if answer is None else answer) == expressions()[expression]


def test_every_common_builtin_was_compared() -> None:
    asked = " ".join(expressions())
    assert [name for name in dialect.COMMON_BUILTINS if f"{name}(" not in asked] == []


@pytest.mark.parametrize(
    "name",
    [
        "http.send",
        "net.cidr_contains",
        "time.parse_rfc3339_ns",
        "time.now_ns",
        "time.weekday",
        "json.match_schema",
        "urlquery.encode",
        "opa.runtime",
        "base64.decode",
        "object.union",
        "max",
        "sort",
        "semver.compare",
        "nonsense",
    ],
)
def test_another_builtin_is_refused_by_name_file_and_line(name: str) -> None:
    module = Module(
        "extra/mine.rego", f"package mine\n\n# {name}(1) in a comment\np if {{\n\t{name}(input.x)\n}}\n"
    )
    with pytest.raises(BrokerError) as caught:
        dialect.check(module)
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    assert f"extra/mine.rego:5 uses the built-in `{name}`" in caught.value.message
    assert "input" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ['x := "a\\u0041"', 'x := "a\\"b"', 'x := `a"b`', "x := `a\\b`", 'x := $"{input.y}"']
)
def test_a_string_the_engines_read_differently_is_refused(text: str) -> None:
    with pytest.raises(BrokerError, match=r"m\.rego:3 uses a string"):
        dialect.check(Module("m.rego", f"package m\n\n{text}\n"))


@pytest.mark.parametrize(
    ("expression", "rego_cpp", "opa"),
    [
        ("max([9, 10])", 9, 10),
        ("min([60, 3600])", 3600, 60),
        ('semver.compare("10.0.0", "9.0.0")', -1, 1),
        ('object.union({"a": {"x": 1}}, {"a": {"y": 2}})', {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ('net.cidr_contains("10.0.0.0/8", "10.1.1.1")', None, True),
    ],
)
def test_why_a_builtin_is_not_common(expression: str, rego_cpp: object, opa: object) -> None:
    """When one of these fails, rego-cpp has been corrected and the built-in can become common."""
    assert Engine({"m": as_module(expression)}, {}, ["t/r"]).evaluate("t/r", {}) == rego_cpp != opa


@pytest.mark.parametrize(
    "text",
    [
        "f(x) := x\n\np := f(1)",
        "import data.lib.names\n\np := names.f(1)",
        "import data.lib.names as n\n\np := n.f(1)",
        "p := data.lib.names.f(1)",
        "p if regex.match(`^\\d+$`, input.x)",
        "p := set()",
        'p contains x if some x in ["http.send(1)", `eval(2)`]',
        'p if not (input.a in {"x"})',
    ],
)
def test_ordinary_rego_is_let_through(text: str) -> None:
    module = Module("m.rego", f"package m\n\n{text}\n")
    dialect.check(module)
    assert module.text.endswith("\n")


def test_only_what_policies_read_reaches_the_engine() -> None:
    first = Module("a", "p := input.call.model\nq := input.call.parameters[input.name]")
    second = Module("b", 'r if input.findings == []\ns := "input.t.u"')
    assert dialect.parts_read([first, second]) == (
        ("call", "model"),
        ("call", "parameters"),
        ("findings",),
        ("name",),
    )


@pytest.mark.parametrize("text", ["p := input[x]", "p := f(input)", "some x in input", 'p := input["call"]'])
def test_a_dynamic_look_at_the_input_hands_it_over_whole(text: str) -> None:
    assert dialect.parts_read([Module("m", f"q := input.call.model\n{text}")]) == ((),)
