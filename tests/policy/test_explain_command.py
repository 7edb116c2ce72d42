"""`broker policy explain`: decisions about made-up inputs, with their reasons, as the exit code says."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from broker.adapters.policyfiles.source import PolicySource
from broker.adapters.rego import EmbeddedAuthorizer
from broker.adapters.rego.proof import Prover
from broker.cli.main import app
from broker.cli.policy.question import USUAL
from broker.errors import BrokerError
from broker.model.record import Record, RecordType
from tests.opa.sidecar import opa_binary
from tests.policy.documents import call
from tests.policy.engines import WITH_FIXTURE
from tests.replay.support import written

ASSISTANT = "subject.id=spiffe://dev.broker/ns/demo/sa/assistant"


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> Iterator[None]:
    """The same policies are loaded once."""
    known: dict[str, EmbeddedAuthorizer] = {}

    def loaded(source: PolicySource, *prover: Prover) -> EmbeddedAuthorizer:
        sha256 = source.version.sha256
        return known.get(sha256) or known.setdefault(sha256, EmbeddedAuthorizer(source, *prover))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.cli.policy.explain.EmbeddedAuthorizer", loaded)
        yield


def explain(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(
        app, ["policy", "explain", "--policies", str(WITH_FIXTURE), *words], input=given
    )


def asked(*changes: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer about a usual call with these fields set."""
    done = explain("--json", *(word for change in changes for word in ("--set", change)))
    return done.exit_code, json.loads(done.stdout)


def test_an_allowed_call_says_by_which_rule_and_role() -> None:
    code, said = asked(ASSISTANT)
    assert (code, said["allow"], said["rule"], said["role"]) == (0, True, "granted", "assistant")
    assert all(condition["holds"] for condition in said["conditions"])


def test_a_denied_call_names_the_condition_and_the_smallest_change() -> None:
    code, said = asked(ASSISTANT, "call.model=gpt-5")
    assert (code, said["rule"]) == (1, "model_not_granted")
    assert said["changes"] == ["model: gpt-4o or gpt-4o-mini"]
    assert [each["rule"] for each in said["conditions"] if not each["holds"]] == ["model_not_granted"]


def test_a_change_that_is_named_is_enough() -> None:
    _, denied = asked(ASSISTANT, "call.model=gpt-5", "estimate.tokens_out_max=99999999")
    assert len(denied["changes"]) == 2
    code, _ = asked(ASSISTANT, "call.model=gpt-4o", "estimate.tokens_out_max=100")
    assert code == 0


def test_nobody_is_denied() -> None:
    assert asked()[1]["rule"] == "subject_not_granted"


def test_policies_with_more_grants_than_the_engine_loads_quickly_explain_as_others_do(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(WITH_FIXTURE, tmp_path / "policies"))
    data = json.loads((folder / "data.json").read_text())
    data["grants"] |= {
        f"spiffe://dev.broker/ns/many/sa/s{number}": {"role": "batch"} for number in range(100)
    }
    (folder / "data.json").write_text(json.dumps(data))
    words = ("policy", "explain", "--policies", str(folder), "--json", "--set", ASSISTANT)
    said = json.loads(CliRunner().invoke(app, words).stdout)
    few = asked(ASSISTANT)[1]
    assert {**said, "policy": None} == {**few, "policy": None}


def test_an_input_may_come_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text(json.dumps(USUAL))
    for done in (
        explain(str(file), "--set", ASSISTANT),
        explain("-", "--set", ASSISTANT, given=file.read_text()),
    ):
        assert done.exit_code == 0
        assert done.stdout.startswith("allowed by granted")


@pytest.mark.parametrize(
    "words", [("--set", "a.b=1"), ("--set", "call.model"), ("--set", "=1"), ("--point", "admin")]
)
def test_what_cannot_be_asked_is_refused_with_a_remedy(words: tuple[str, ...]) -> None:
    done = explain(*words)
    assert isinstance(done.exception, BrokerError)  # the console script exits with 3
    assert done.exception.remedy


def test_broken_json_is_not_quoted() -> None:
    done = explain("-", given='{"secret-of-caller": NaN}')
    assert "secret-of-caller" not in str(done.exception)
    assert "JSON object" in str(done.exception)


@pytest.mark.servers
def test_the_trace_is_opas_own() -> None:
    done = explain("--set", ASSISTANT, "--trace", "--opa", str(opa_binary()))
    assert done.exit_code == 0
    assert "Enter data.broker.calls.decision" in done.stdout


REGISTRY = "subject.id=spiffe://dev.broker/ns/demo/sa/registry"  # its role may produce 16,384 tokens
CLERK = ("subject.id=spiffe://dev.broker/ns/demo/sa/clerk", "token.user=carol", "call.model=gpt-4o")


@pytest.mark.parametrize(
    "parameters",
    [
        ("call.parameters.max_tokens=20000",),
        ("call.parameters.max_completion_tokens=20000",),
        ("call.parameters.max_tokens=9000", "call.parameters.n=2"),
        ("call.operation=responses", "call.parameters.max_output_tokens=20000"),
    ],
)
def test_the_estimate_follows_from_the_fields_that_are_set(parameters: tuple[str, ...]) -> None:
    """`max_tokens=3000` under a cap of 2,000 was told as allowed."""
    code, said = asked(REGISTRY, "call.model=gpt-4o", *parameters)
    assert (code, said["rule"]) == (1, "output_over_cap")
    assert asked(REGISTRY, "call.model=gpt-4o", "call.parameters.max_tokens=9000")[0] == 0


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (("call.parameters.store=true",), "reach_not_granted"),
        (("call.parameters.background=true",), "reach_not_granted"),
        (("call.parameters.store=true", "call.reaches=[]"), "granted"),
        (("call.parameters.store=false",), "granted"),
    ],
)
def test_what_a_call_reaches_follows_from_the_fields_that_are_set(
    changes: tuple[str, ...], rule: str
) -> None:
    assert asked(ASSISTANT, "call.operation=responses", *changes)[1]["rule"] == rule


def test_an_estimate_that_is_set_stays() -> None:
    bound = "call.parameters.max_tokens=20000"
    assert asked(REGISTRY, "call.model=gpt-4o", bound, "estimate.tokens_out_max=5")[0] == 0


def test_a_token_ceiling_bounds_the_estimate() -> None:
    code, _ = asked(REGISTRY, "call.model=gpt-4o", "call.parameters.max_tokens=20000", "token.max_tokens=64")
    assert code == 0


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--at", "2026-11-24T10:43Z"), "granted"),  # a Tuesday
        (("--at", "2026-11-29T10:43Z"), "outside_window"),  # a Sunday
        (("--at", "2026-11-24T17:30Z"), "granted"),
        (("--at", "2026-11-24T17:30Z", "--time-zone", "Europe/Berlin"), "outside_window"),
        (("--at", "2026-11-24T17:30", "--time-zone", "Europe/Berlin"), "granted"),
    ],
)
def test_it_may_be_asked_at_another_time(words: tuple[str, ...], rule: str) -> None:
    bound = "call.parameters.max_tokens=100"
    done = explain("--json", *words, *(word for each in (*CLERK, bound) for word in ("--set", each)))
    assert json.loads(done.stdout)["rule"] == rule


@pytest.mark.parametrize(
    "words", [("--at", "noon"), ("--at", "2026-11-24T10:00Z", "--time-zone", "Mars/Base")]
)
def test_what_is_no_time_is_told(words: tuple[str, ...]) -> None:
    done = explain(*words)
    assert isinstance(done.exception, BrokerError)
    assert "2026-11-24T10:43Z" in done.exception.remedy


def test_a_mistyped_role_is_told_as_what_it_is(tmp_path: Path) -> None:
    """It was told as `No grant names this subject`."""
    policies = Path(shutil.copytree(WITH_FIXTURE, tmp_path / "policies"))
    data = policies / "data.json"
    data.write_text(data.read_text().replace('"role": "assistant"', '"role": "asistant"'))
    done = CliRunner().invoke(app, ["policy", "explain", "--policies", str(policies), "--set", ASSISTANT])
    assert isinstance(done.exception, BrokerError)
    assert '"asistant", which is not in `roles`' in str(done.exception)
    assert "Did you mean `assistant`?" in done.exception.remedy


async def test_a_recorded_call_is_explained_by_its_id(tmp_path: Path) -> None:
    document = json.dumps({**call(), "time": {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "11:43"}})
    record = Record(RecordType.INTENT, "call_1", operation="chat", rule="granted", policy_input=document)
    unasked = Record(RecordType.DENIED, "call_2", operation="chat", reason="BAD_REQUEST")
    log = await written(tmp_path, record, unasked)
    found = await asyncio.to_thread(explain, "--call-id", "call_1", "--log", str(log), "--json")
    assert json.loads(found.stdout)["rule"] == "granted"
    changed = ("--call-id", "call_1", "--log", str(log), "--json", "--set", "call.model=gpt-5")
    assert json.loads((await asyncio.to_thread(explain, *changed)).stdout)["rule"] == "model_not_granted"
    for call_id, why in (("call_2", "refused before policy was asked"), ("call_3", "no decision about")):
        done = await asyncio.to_thread(explain, "--call-id", call_id, "--log", str(log))
        assert why in str(done.exception)
    assert "--call-id and --log" in str((await asyncio.to_thread(explain, "--call-id", "call_1")).exception)
