package broker.admin_test

import data.broker.admin

test_decision[name] if {
	some name, case in cases
	decision := admin.decision with input as case.input
	decision.rule == case.rule
	decision.allow == granting(case.rule)
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
	"an action nobody knows": {"input": ask("operator", "policy.reload"), "rule": "action_not_granted"},
	"no input": {"input": {}, "rule": "subject_not_granted"},
}

ask(name, action) := {
	"v": 1,
	"subject": {"id": concat("/", ["spiffe://dev.broker/ns/demo/sa", name]), "tenant": "demo", "actor_chain": []},
	"action": action,
	"transport": "grpc",
	"now_ns": 1795000000000000000,
}

granting(rule) if rule == "granted"

granting(rule) := false if rule != "granted"
