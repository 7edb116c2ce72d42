package broker.admin_test

import data.broker.admin
import data.broker.fixture_test as fixture

test_decision[name] if {
	some name, case in cases
	decision := admin.decision with input as case.input
		with data.grants as fixture.grants
		with data.roles as fixture.roles
	decision.rule == case.rule
	decision.allow == granting(case.rule)
}

test_explanation if {
	said := admin.explanation with input as ask("auditor", "token.revoke")
		with data.grants as fixture.grants
		with data.roles as fixture.roles
	said.role == "auditor"
	[condition.holds | some condition in said.conditions] == [true, false]
}

test_explanation_of_nothing if admin.explanation.role == null with input as {}

test_explanation_of_a_stranger if {
	said := admin.explanation with input as ask("intruder", "token.revoke")
		with data.grants as fixture.grants
		with data.roles as fixture.roles
	said.role == null
	[condition.holds | some condition in said.conditions] == [false]
}

cases := {
	"operator introspects": {"input": ask("operator", "token.introspect"), "rule": "granted"},
	"operator revokes": {"input": ask("operator", "token.revoke"), "rule": "granted"},
	"operator reads checkpoints": {"input": ask("operator", "audit.checkpoint"), "rule": "granted"},
	"operator reads no records": {"input": ask("operator", "audit.read"), "rule": "action_not_granted"},
	"auditor reads records": {"input": ask("auditor", "audit.read"), "rule": "granted"},
	"auditor reads checkpoints": {"input": ask("auditor", "audit.checkpoint"), "rule": "granted"},
	"auditor revokes nothing": {"input": ask("auditor", "token.revoke"), "rule": "action_not_granted"},
	"auditor introspects nothing": {"input": ask("auditor", "token.introspect"), "rule": "action_not_granted"},
	"assistant reads no records": {"input": ask("assistant", "audit.read"), "rule": "action_not_granted"},
	"explorer revokes nothing": {"input": ask("explorer", "token.revoke"), "rule": "action_not_granted"},
	"explorer reads no checkpoints": {"input": ask("explorer", "audit.checkpoint"), "rule": "action_not_granted"},
	"intruder reads no checkpoints": {"input": ask("intruder", "audit.checkpoint"), "rule": "subject_not_granted"},
	"operator explains": {"input": ask("operator", "policy.explain"), "rule": "granted"},
	"operator rolls out in shadow": {"input": ask("operator", "policy.shadow"), "rule": "granted"},
	"auditor explains": {"input": ask("auditor", "policy.explain"), "rule": "granted"},
	"auditor reads policies": {"input": ask("auditor", "policy.read"), "rule": "granted"},
	"auditor rolls nothing out": {"input": ask("auditor", "policy.shadow"), "rule": "action_not_granted"},
	"an action nobody knows": {"input": ask("operator", "policy.reload"), "rule": "action_not_granted"},
	"no input": {"input": {}, "rule": "subject_not_granted"},
}

ask(name, action) := {
	"v": 1,
	"subject": {"id": concat("/", ["spiffe://rules.test/ns/demo/sa", name]), "tenant": "demo", "actor_chain": []},
	"action": action,
	"transport": "grpc",
	"now_ns": 1795000000000000000,
	"time": {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "11:43"},
}

granting(rule) if rule == "granted"

granting(rule) := false if rule != "granted"
