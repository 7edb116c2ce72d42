"""Small policies, logs that hold decisions on them, and the command as a process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from typer.testing import CliRunner

from broker.cli.policy import app
from broker.errors import Kind
from broker.model.record import Record, RecordedFinding, RecordType
from tests.commands import Done, typed
from tests.ledger.support import opened
from tests.nursery import the_nursery

ALICE = "spiffe://d/sa/alice"
BOB = "spiffe://d/sa/bob"

_CALLS = """package broker.calls

default decision := {"allow": false, "rule": "stranger", "reason": "", "content": {}, "changes": []}

decision := %s if data.models[input.call.model][input.subject.id]
"""
_ALLOWED = """{
	"allow": %s,
	"rule": "known",
	"reason": "",
	"content": {finding.rule: "allow" | some finding in input.findings},
	"shape": {},
	"account": input.subject.id,
	"limits": {},
	"models": [],
	"response": {"cut": []},
	"credential": "openai",
}"""
_TOKENS = """package broker.tokens

default decision := {"allow": false, "rule": "stranger", "reason": "", "changes": []}

decision := {
	"allow": true,
	"rule": "known",
	"reason": "",
	"grant": {"scope": ["chat"], "ttl_seconds": 60, "user": null, "max_tokens": null},
} if data.tokens[input.subject.id]
"""
_ADMIN = """package broker.admin

default decision := {"allow": false, "rule": "stranger", "reason": ""}

decision := {"allow": true, "rule": "known", "reason": ""} if data.admins[input.subject.id]
"""


def policies(
    directory: Path,
    *,
    models: Mapping[str, Iterable[str]],
    tokens: Iterable[str] = (),
    admins: Iterable[str] = (),
    allow: str = "true",
) -> Path:
    """A policy set: who may use which model, who gets tokens, who is an admin. `allow` is the Rego of what
    an allowing decision says in its field of that name.
    """
    directory.mkdir()
    (directory / "calls.rego").write_text(_CALLS % (_ALLOWED % allow))
    (directory / "tokens.rego").write_text(_TOKENS)
    (directory / "admin.rego").write_text(_ADMIN)
    facts = {
        "models": {model: dict.fromkeys(who, True) for model, who in models.items()},
        "tokens": dict.fromkeys(tokens, True),
        "admins": dict.fromkeys(admins, True),
    }
    (directory / "data.json").write_text(json.dumps(facts))
    (directory / "schema").mkdir()
    (directory / "schema/base.data.json").write_text("{}")  # tables of one's own, which nobody describes
    return directory


def question(subject: str, model: str, *rules: str) -> dict[str, object]:
    """The input of a call."""
    return {
        "v": 1,
        "subject": {"id": subject},
        "call": {"operation": "chat", "model": model},
        "findings": [{"rule": rule, "severity": "low", "location": "messages[0].content"} for rule in rules],
        "now_ns": 1795000000123456789,
    }


def text(document: dict[str, object]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def allowed(call_id: str, subject: str = ALICE, model: str = "gpt-4o", *rules: str) -> Record:
    """The intent of a call that policy allowed."""
    return _call(RecordType.INTENT, call_id, subject, model, *rules, decision="allow", rule="granted")


def denied(
    call_id: str,
    subject: str = ALICE,
    model: str = "gpt-4o",
    *,
    reason: Kind = Kind.POLICY_DENIED,
    rule: str = "not_granted",
    revision: str | None = "r1",
    found: dict[str, str] | None = None,
) -> Record:
    """A call that went nowhere, after policy was asked. `found` are rules and what was done about each."""
    record = _call(
        RecordType.DENIED,
        call_id,
        subject,
        model,
        decision="deny",
        reason=reason.value,
        rule=rule,
        policy_revision=revision,
    )
    findings = tuple(
        RecordedFinding(each, "messages[0].content", action) for each, action in (found or {}).items()
    )
    return record._replace(findings=findings or None)


def token(call_id: str, subject: str = ALICE) -> Record:
    """A token that was issued."""
    document: dict[str, object] = {"v": 1, "subject": {"id": subject}, "request": {}}
    return Record(RecordType.TOKEN, call_id, subject=subject, rule="granted", policy_input=text(document))


def no_token(call_id: str, subject: str = ALICE) -> Record:
    """A token that was denied."""
    return Record(
        RecordType.DENIED,
        call_id,
        subject=subject,
        operation="token.issue",
        reason=Kind.POLICY_DENIED.value,
        rule="not_granted",
        policy_input=text({"v": 1, "subject": {"id": subject}}),
    )


def no_right(call_id: str, subject: str = ALICE) -> Record:
    """An admin action that was denied."""
    return Record(
        RecordType.DENIED,
        call_id,
        subject=subject,
        operation="audit.read",
        reason=Kind.POLICY_DENIED.value,
        rule="not_granted",
        policy_input=text({"v": 1, "subject": {"id": subject}, "action": "audit.read"}),
    )


async def written(home: Path, *records: Record) -> Path:
    """A closed log that holds these records."""
    async with opened(home) as log:
        for record in records:
            await log.append(record)
    return home / "log"


def broker(*words: object) -> Done:
    """`broker policy …` as a process."""
    return the_nursery().spawn("policy", *map(str, words)).done(timeout=120)


def said(*words: object) -> Done:
    """The same, without a process of its own."""
    return typed("policy", *words)


def reported(*words: object) -> tuple[int, dict[str, object]]:
    """The exit code and the document of `--json`, without a process of its own: that takes seconds."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.stdout, done.exception
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return done.exit_code, document


def _call(
    kind: RecordType, call_id: str, subject: str, model: str, *rules: str, **facts: str | None
) -> Record:
    return Record(
        kind,
        call_id,
        subject=subject,
        operation="chat",
        model_requested=model,
        policy_input=text(question(subject, model, *rules)),
        **{"policy_revision": "r1", **facts},  # type: ignore[arg-type]
    )
