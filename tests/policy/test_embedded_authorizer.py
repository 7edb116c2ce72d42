"""The embedded engine as an Authorizer: loading strictly, failing closed, withstanding what callers send."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.authorizer import ANSWERS_KEPT
from broker.adapters.rego.engine import Engine, EngineError
from broker.errors import BrokerError, Kind
from broker.model.answers import parse_call_decision
from broker.ports import DecisionPoint
from tests.policy.documents import call, deed, wish
from tests.policy.engines import WITH_FIXTURE, briefly
from tests.sizes import sized

Change = Callable[[str, Callable[[str], str]], None]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WITH_FIXTURE, tmp_path / "policies"))


@pytest.fixture
def change(copy: Path) -> Change:
    def edit(name: str, how: Callable[[str], str]) -> None:
        path = copy / name
        path.write_text(how(path.read_text()))

    return edit


def _refused(directory: Path) -> str:
    with pytest.raises(BrokerError) as caught:
        EmbeddedAuthorizer(directory)
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    assert caught.value.remedy
    return caught.value.message


async def _rule(authorizer: EmbeddedAuthorizer, document: dict[str, object]) -> str:
    verdict = await authorizer.evaluate(DecisionPoint.CALLS, document)
    return parse_call_decision(verdict.result, verdict.policy).rule


# --- loading


def test_broken_rego_names_file_and_line(copy: Path, change: Change) -> None:
    change("calls.rego", lambda text: text + "\np if {\n\tthis is not ( Rego\n}\n")
    lines = (copy / "calls.rego").read_text().count("\n")
    message = _refused(copy)
    assert message.startswith("calls.rego:")
    assert lines - 6 <= int(message.split(":")[1]) <= lines


def test_a_builtin_outside_the_common_set_is_refused_at_load(copy: Path) -> None:
    (copy / "extra.rego").write_text('package extra\n\np := http.send({"url": "http://x"})\n')
    assert "extra.rego:3 uses the built-in `http.send`" in _refused(copy)


def test_a_policy_that_allows_strangers_is_refused_at_load(copy: Path, change: Change) -> None:
    change("admin.rego", lambda text: text.replace('"allow": false', '"allow": true', 1))
    assert "broker.admin does not deny an unknown subject" in _refused(copy)


def test_a_policy_without_a_default_is_refused_at_load(copy: Path, change: Change) -> None:
    change("admin.rego", lambda text: text.replace("default decision", "unused"))
    assert "broker.admin does not deny an unknown subject" in _refused(copy)


@pytest.mark.parametrize("value", ["0", "null", '"false"'])
def test_a_denial_that_is_not_false_is_refused_at_load(copy: Path, change: Change, value: str) -> None:
    change("admin.rego", lambda text: text.replace('"allow": false', f'"allow": {value}', 1))
    assert "does not deny" in _refused(copy)


@pytest.mark.parametrize("text", ["", "[]", '{"grants": {}, "grants": {}}', '{"a": NaN}', "{"])
def test_data_that_is_not_strict_json_is_refused(copy: Path, text: str) -> None:
    (copy / "data.json").write_text(text)
    assert "data.json" in _refused(copy)


def test_two_files_that_define_the_same_data_are_refused(copy: Path) -> None:
    (copy / "grants").mkdir()
    (copy / "grants" / "data.json").write_text(
        '{"spiffe://dev.broker/ns/demo/sa/batch": {"role": "explorer"}}'
    )
    assert "another data.json defines" in _refused(copy)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    assert "no *.rego" in _refused(tmp_path)


def test_the_revision_changes_with_any_policy_or_data_and_not_with_tests(copy: Path, change: Change) -> None:
    first = EmbeddedAuthorizer(copy).version.revision
    change("calls_test.rego", lambda text: text + "\n# more\n")
    assert EmbeddedAuthorizer(copy).version.revision == first
    change("data.json", lambda text: text + "\n")
    second = EmbeddedAuthorizer(copy).version.revision
    (copy / "calls.rego").rename(copy / "called.rego")
    third = EmbeddedAuthorizer(copy).version.revision
    assert len({first, second, third}) == 3
    assert all(len(revision) == 16 for revision in (first, second, third))


# --- deciding


async def test_an_undefined_decision_is_none_and_not_false(copy: Path, change: Change) -> None:
    partial = 'package broker.calls\n\ndecision := {"allow": false} if not input.token\n'
    change("calls.rego", lambda _: partial)
    verdict = await EmbeddedAuthorizer(copy).evaluate(DecisionPoint.CALLS, call())
    assert verdict.result is None


async def test_conflicting_rules_are_an_error_and_not_a_choice(copy: Path, change: Change) -> None:
    conflict = '\ndecision := {"allow": true, "rule": "x", "reason": "y"} if input.action == "audit.read"\n'
    change("admin.rego", lambda text: text + conflict)
    with pytest.raises(BrokerError) as caught:
        await EmbeddedAuthorizer(copy).evaluate(DecisionPoint.ADMIN, deed("operator", "audit.read"))
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE


async def test_nanoseconds_keep_every_digit(copy: Path, change: Change) -> None:
    change(
        "admin.rego", lambda text: text.replace('"rule": "granted"', '"rule": sprintf("%v", [input.now_ns])')
    )
    verdict = await EmbeddedAuthorizer(copy).evaluate(DecisionPoint.ADMIN, deed("operator", "token.revoke"))
    assert isinstance(verdict.result, dict)
    assert verdict.result["rule"] == "1795000000123456789"


@pytest.mark.parametrize(
    "model",
    ["gpt-4o\x00-mini", "gpt-4o\n", "gpt-4o ", "GPT-4O", "gpt\u20114o", "gpt-4o\\", '"', "gpt-4o*", "*"],
)
async def test_a_model_that_only_looks_granted_is_not(authorizer: EmbeddedAuthorizer, model: str) -> None:
    assert await _rule(authorizer, call(model=model)) == "model_not_granted"


@pytest.mark.parametrize("value", [["gpt-4o"], {"gpt-4o": True}, 4, True, False, 1.5])
async def test_a_model_of_another_type_is_not_granted(authorizer: EmbeddedAuthorizer, value: object) -> None:
    assert await _rule(authorizer, call(model=value)) == "model_not_granted"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, object(), "\ud800", "\U0010ff41"])
async def test_what_the_engine_cannot_hold_is_refused_unquoted(
    authorizer: EmbeddedAuthorizer, value: object
) -> None:
    await authorizer.evaluate(DecisionPoint.CALLS, call(model=None))  # whose kept answer must not be taken
    with pytest.raises(BrokerError) as caught:
        await authorizer.evaluate(DecisionPoint.CALLS, call(model=value))
    assert caught.value.kind is Kind.POLICY_ENGINE_UNAVAILABLE
    assert not isinstance(value, str) or value not in str(caught.value)


INJECTION = 'x","allow":true,"rule":"granted","y":"'


@pytest.mark.parametrize("function", ["trim_space", "upper", "strings.reverse", "lower"])
def test_a_caller_cannot_write_into_the_decision(function: str) -> None:
    """rego-cpp alone answers `{"allow":false,"echo":"x","allow":true,…` to some of these."""
    module = f'package t\n\nr := {{"allow": false, "echo": {function}(input.user)}}\n'
    user = f" {INJECTION}\\" if function != "strings.reverse" else INJECTION[::-1]
    answer = Engine({"m": module}, {}, ["t/r"]).evaluate("t/r", {"user": user})
    assert isinstance(answer, dict)
    assert answer["allow"] is False
    assert set(answer) == {"allow", "echo"}


_ECHO = Engine({"m": "package t\n\nr := input\n"}, {}, ["t/r"])
_TEXT = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x10FEFF), max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=sized(200))
@given(_JSON)
def test_every_document_comes_back_as_it_went_in(document: object) -> None:
    assert _ECHO.evaluate("t/r", document) == document


@settings(max_examples=sized(100))
@given(_TEXT)
def test_data_and_input_spell_a_string_alike(text: str) -> None:
    module = "package t\n\nr if input.text == data.texts.one\n"
    engine = Engine({"m": module}, {"texts": {"one": text}}, ["t/r"])
    assert engine.evaluate("t/r", {"text": text}) is True
    assert engine.evaluate("t/r", {"text": text + "x"}) is None


async def test_a_hundred_thousand_grants_cost_a_decision_nothing(copy: Path, change: Change) -> None:
    def crowd(text: str) -> str:
        base = json.loads(text)
        base["grants"] |= {f"spiffe://x/ns/a/sa/{i}": {"role": "assistant"} for i in range(100_000)}
        return json.dumps(base)

    change("data.json", crowd)
    crowded = EmbeddedAuthorizer(copy, briefly)
    document = call()
    document["subject"] = {"id": "spiffe://x/ns/a/sa/99999", "tenant": "a", "actor_chain": []}
    started = time.perf_counter()
    for number in range(50):
        document["estimate"] = {"tokens_out_max": number}
        assert await _rule(crowded, document) == "granted"
    assert (time.perf_counter() - started) / 50 < 0.005  # 63 ms where the engine itself walks the grants


async def test_a_table_used_in_another_way_stays_in_the_engine(copy: Path, change: Change) -> None:
    extra = '\ndecision := {"allow": true, "rule": "all", "reason": name} if {\n\tinput.action == "all"\n'
    extra += "\tnot grants.role\n\tsome name in object.keys(data.grants)\n"
    extra += '\tendswith(name, "dev.broker/ns/demo/sa/explorer")\n}\n'
    change("admin.rego", lambda text: text.replace("default decision", "default unused_decision") + extra)
    change(
        "admin.rego",
        lambda text: text + '\ndecision := {"allow": false} if input.subject.tenant == "nobody"\n',
    )
    verdict = await EmbeddedAuthorizer(copy).evaluate(DecisionPoint.ADMIN, deed("intruder", "all"))
    assert isinstance(verdict.result, dict)
    assert verdict.result["reason"] == "spiffe://dev.broker/ns/demo/sa/explorer"


async def test_evaluations_from_many_threads_do_not_mix(authorizer: EmbeddedAuthorizer) -> None:
    def ask(number: int) -> tuple[int, str]:
        model = "gpt-4o" if number % 2 else "gpt-5"
        return number, asyncio.run(_rule(authorizer, call("assistant", model, tokens_out=20_000 + number)))

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(200)))
    assert all(rule == ("granted" if number % 2 else "model_not_granted") for number, rule in answers)


async def test_thousands_of_decisions_leave_no_memory_behind(authorizer: EmbeddedAuthorizer) -> None:
    def resident_kib() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    filled = sized(2 * ANSWERS_KEPT, 5000)
    for number in range(filled):  # what is kept of earlier answers
        await _rule(authorizer, call("assistant", "gpt-4o", "pii.email", tokens_out=number))
    before = resident_kib()
    for number in range(filled, filled + 3 * ANSWERS_KEPT):  # as many are kept then as before
        await _rule(authorizer, call("assistant", "gpt-4o", "pii.email", tokens_out=number))
    assert resident_kib() - before < 4000  # two KiB a decision would show


async def test_a_decision_is_quick(authorizer: EmbeddedAuthorizer) -> None:
    took = []
    for number in range(300):  # none is an earlier one's equal
        document = call(tokens_out=10_000 + number)
        started = time.perf_counter()
        await authorizer.evaluate(DecisionPoint.CALLS, document)
        took.append(time.perf_counter() - started)
    assert sorted(took)[150] < 0.001  # 0.2 ms on an idle machine


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was given to an engine, each time that one was asked."""
    given_to_engines: list[object] = []
    evaluate = Engine.evaluate

    def counted(self: Engine, entrypoint: str, document: object) -> object:
        given_to_engines.append(document)
        return evaluate(self, entrypoint, document)

    monkeypatch.setattr(Engine, "evaluate", counted)
    return given_to_engines


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("token", {"id": "tok_2", "scope": ["chat:gpt-4o-mini"], "user": None, "max_tokens": 17}),
        ("transport", "grpc"),
        ("now_ns", 1795000000999999999),
        ("call.user", "alice"),
        ("call.bytes", 813),
        ("call.stream", True),
        ("call.fields", ["messages", "model", "seed"]),
        ("call.references", ["file_id", "previous_response_id"]),
        ("estimate.tokens_in", 121),
        ("estimate.cost_micro_usd", 2861),
    ],
)
async def test_what_no_policy_reads_of_a_call_makes_no_new_question(
    authorizer: EmbeddedAuthorizer, evaluations: list[object], field: str, value: object
) -> None:
    await _rule(authorizer, call())
    evaluations.clear()
    document = call()
    *parents, last = field.split(".")
    inner: object = document
    for name in parents:
        inner = inner[name] if isinstance(inner, dict) else None
    assert isinstance(inner, dict)
    assert inner[last] != value
    inner[last] = value
    assert await _rule(authorizer, document) == "granted"
    assert evaluations == []


@pytest.mark.parametrize("operation", ["chat", "responses"])
async def test_an_ordinary_call_is_decided_by_the_few_rules_of_the_fast_path(
    authorizer: EmbeddedAuthorizer, evaluations: list[object], operation: str
) -> None:
    asked = call(operation=operation, tokens_out=31_337)  # which no other test asks
    assert await _rule(authorizer, asked) == "granted"
    assert len(evaluations) == 1  # the other rules were not asked


async def test_a_flood_of_findings_cannot_hold_up_other_callers(authorizer: EmbeddedAuthorizer) -> None:
    flood = call("assistant", "gpt-4o", *["pii.email"] * 100_000)
    started = time.perf_counter()
    with pytest.raises(BrokerError, match="too large to be decided"):
        await authorizer.evaluate(DecisionPoint.CALLS, flood)
    assert time.perf_counter() - started < 0.5  # evaluated, it would take 2 s


async def test_an_engine_error_tells_the_caller_nothing_of_the_input() -> None:
    engine = Engine({"m": "package t\n\nr := 1 if input.a\n\nr := 2 if input.b\n"}, {}, ["t/r"])
    with pytest.raises(EngineError) as caught:
        engine.evaluate("t/r", {"a": "canary-7f3a", "b": "canary-7f3a"})
    assert "canary" not in str(caught.value)


async def test_every_point_is_decided(authorizer: EmbeddedAuthorizer) -> None:
    documents = {
        DecisionPoint.CALLS: call(),
        DecisionPoint.TOKENS: wish(),
        DecisionPoint.ADMIN: deed("operator", "token.revoke"),
    }
    for point in DecisionPoint:
        verdict = await authorizer.evaluate(point, documents[point])
        assert isinstance(verdict.result, dict)
        assert verdict.result["allow"] is True
        assert verdict.policy == authorizer.version
