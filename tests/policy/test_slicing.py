"""What is compiled for a decision is enough for it, and what is left out changes no answer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from broker.adapters.policyfiles.slicing import chain, reached
from broker.adapters.policyfiles.source import Module
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.engine import Engine, EngineError
from broker.ports import DecisionPoint
from tests.policy.engines import TABLES, WITH_FIXTURE, briefly, cases, ordered
from tests.policy.generated import Generator
from tests.sizes import sized

GENERATED = sized(400, 15_000)


def _value(modules: list[Module], document: object) -> object:
    texts = {module.name: module.text for module in modules}
    try:
        return Engine(texts, {"names": {"a": 1}}, ["broker/calls/decision"]).evaluate(
            "broker/calls/decision", document
        )
    except EngineError:
        return "(error)"


CALLS = "package broker.calls\n\nimport data.broker.lib\n\n"
LIB = Module(
    "lib.rego",
    "package broker.lib\n\nimport data.broker.deep as d\n\n"
    "f(x) := d.g(x) + one\n\none := 1\n\nunused := 1 / 0\n",
)
DEEP = Module("deep.rego", "package broker.deep\n\ng(x) := x * 2\n\nunused := data.broker.lib.unused\n")


@pytest.mark.parametrize(
    "text",
    [
        "decision := lib.f(input.n)\n",
        "decision := data.broker.lib.f(input.n)\n",
        "decision := x if {\n\tx := helper\n}\n\nhelper := lib.f(input.n)\n",
        "decision :=\n\tlib.f(input.n)\n",
        "decision := x if\n\tx := lib.f(input.n)\n",
        "  decision := lib.f(input.n)\n",
        'decision := "a string" if {\n\tinput.n > 100\n} else := lib.f(input.n)\n',
        "decision := 1 if input.n > 100\n\nelse := lib.f(input.n)\n",
        "default decision := 0\n\ndecision := lib.f(input.n) if input.n\n",
        "decision := lib.f(input.n); helper := 2\n",
    ],
)
def test_what_is_left_out_is_not_missed(text: str) -> None:
    modules = [Module("calls.rego", CALLS + text), LIB, DEEP]
    found = reached(modules, "broker.calls", "decision")
    for document in ({"n": 3}, {"n": 200}, {}):
        assert _value(found, document) == _value(modules, document)


def test_rules_nobody_mentions_are_left_out() -> None:
    modules = [Module("calls.rego", CALLS + "decision := lib.f(input.n)\n\nother := 1\n"), LIB, DEEP]
    text = "".join(module.text for module in reached(modules, "broker.calls", "decision"))
    assert "unused" not in text
    assert "other" not in text
    assert "one := 1" in text


CHAIN = "decision := 1 if {\n\tinput.n == 1\n} else := lib.f(input.n) if {\n\tinput.n == 2\n} else := 9\n"


@pytest.mark.parametrize("before", ["", "default decision := 0\n\n", "# decision := 7 else := 8\n\n"])
def test_a_chain_taken_apart_answers_as_before(before: str) -> None:
    modules = [Module("calls.rego", CALLS + before + CHAIN), LIB, DEEP]
    apart = chain(modules, "broker.calls", "decision")
    assert apart is not None
    for document in ({"n": 1}, {"n": 2}, {"n": 3}, {}):
        first = _value(reached(apart.first, "broker.calls", "decision"), document)
        rest = _value(reached(apart.others, "broker.calls", "decision"), document)
        assert (rest if first is None else first) == _value(modules, document)
    assert "lib" not in "".join(each.text for each in reached(apart.first, "broker.calls", "decision"))


@pytest.mark.parametrize(
    "text",
    [
        "decision := 1 if input.n\n",
        "decision := 1 if {\n\tinput.n\n} else := 2\n\ndecision := 3 if input.m\n",
        "decision := 1 if\n\tinput.n\n\nelse := 2\n",
        '  decision := 1 if {\n\tinput.n\n} else := 2\n\ndecision := "x" if input.m\n',
    ],
)
def test_what_is_no_single_chain_is_not_taken_apart(text: str) -> None:
    assert chain([Module("calls.rego", CALLS + text), LIB], "broker.calls", "decision") is None


async def test_an_ordinary_call_is_decided_as_the_other_rules_would(
    authorizer: EmbeddedAuthorizer, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(WITH_FIXTURE, tmp_path / "policies"))
    rego = copy / "calls.rego"
    shortcut = "decision := ordinary.decision if {\n\tordinary.decision.allow\n} else := "
    assert shortcut in rego.read_text()
    rego.write_text(rego.read_text().replace(shortcut, "decision := "))
    without = EmbeddedAuthorizer(copy, briefly)
    some = Generator()
    documents = [*some.calls(GENERATED, odd=0), *some.calls(GENERATED // 3, odd=1)]
    for table, point in TABLES.items():
        if point == "calls":
            documents += [case["input"] for case in cases(table).values()]  # type: ignore[misc]
    allowed = 0
    for document in documents:
        quick = (await authorizer.evaluate(DecisionPoint.CALLS, document)).result
        slow = (await without.evaluate(DecisionPoint.CALLS, document)).result
        assert ordered(quick) == ordered(slow), document
        allowed += isinstance(quick, dict) and quick["allow"] is True
    assert allowed > GENERATED / 10
