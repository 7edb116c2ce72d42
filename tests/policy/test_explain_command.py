"""`broker policy explain`: decisions about made-up inputs, with their reasons, as the exit code says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from broker.cli.main import app
from broker.cli.policy.explain import _USUAL
from broker.errors import BrokerError
from tests.opa.sidecar import opa_binary
from tests.policy.engines import WITH_FIXTURE

ASSISTANT = "subject.id=spiffe://dev.broker/ns/demo/sa/assistant"


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


def test_an_input_may_come_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text(json.dumps(_USUAL))
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
