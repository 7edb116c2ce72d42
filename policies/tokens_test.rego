package broker.tokens_test

import data.broker.fixture_test as fixture
import data.broker.tokens

test_decision[name] if {
	some name, case in cases
	decision := tokens.decision with input as case.input
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.break_glass as fixture.break_glass
	decision.rule == case.rule
	decision.allow == granting(case.rule)
	every field, value in object.get(case, "grant", {}) {
		listed(decision.grant[field]) == value
	}
	object.get(decision, "changes", []) == expected_changes(case, decision)
}

# What the table says of the changes, otherwise nothing is expected of them.
expected_changes(case, decision) := object.get(case, "changes", object.get(decision, "changes", []))

cases := {
	"nothing asked is all of the role": {
		"input": ask("batch", []),
		"rule": "granted",
		"grant": {
			"scope": ["embeddings:text-embedding-3-large", "embeddings:text-embedding-3-small"],
			"ttl_seconds": 300,
			"user": null,
			"max_tokens": null,
		},
	},
	"assistant gets its models and no more": {
		"input": ask("assistant", []),
		"rule": "granted",
		"grant": {"scope": [
			"chat:gpt-4o",
			"chat:gpt-4o-mini",
			"completions:gpt-4o",
			"completions:gpt-4o-mini",
			"edits",
			"embeddings:text-embedding-3-large",
			"embeddings:text-embedding-3-small",
			"models",
			"models.get:gpt-4o",
			"models.get:gpt-4o-mini",
			"models.get:omni-moderation-latest",
			"models.get:text-embedding-3-large",
			"models.get:text-embedding-3-small",
			"moderations:omni-moderation-latest",
			"responses:gpt-4o",
			"responses:gpt-4o-mini",
		]},
	},
	"an exact model": {
		"input": ask("assistant", [["chat", "gpt-4o"]]),
		"rule": "granted",
		"grant": {"scope": ["chat:gpt-4o"]},
	},
	"no model is narrowed to the role's": {
		"input": ask("assistant", [["chat", null]]),
		"rule": "granted",
		"grant": {"scope": ["chat:gpt-4o", "chat:gpt-4o-mini"]},
	},
	"any model is narrowed to the role's": {
		"input": ask("assistant", [["chat", "*"]]),
		"rule": "granted",
		"grant": {"scope": ["chat:gpt-4o", "chat:gpt-4o-mini"]},
	},
	"a pattern is narrowed to the role's models": {
		"input": ask("assistant", [["chat", "*-mini"]]),
		"rule": "granted",
		"grant": {"scope": ["chat:gpt-4o-mini"]},
	},
	"a pattern inside any model is granted whole": {
		"input": ask("explorer", [["chat", "gpt-4*"]]),
		"rule": "granted",
		"grant": {"scope": ["chat:gpt-4*"]},
	},
	"two scopes": {
		"input": ask("assistant", [["embeddings", "text-embedding-3-small"], ["chat", "gpt-4o"]]),
		"rule": "granted",
		"grant": {"scope": ["chat:gpt-4o", "embeddings:text-embedding-3-small"]},
	},
	"another model": {"input": ask("assistant", [["chat", "gpt-5"]]), "rule": "model_not_granted"},
	"a longer model name": {"input": ask("assistant", [["chat", "gpt-4o-audio"]]), "rule": "model_not_granted"},
	"a pattern without a granted model": {"input": ask("assistant", [["chat", "o*"]]), "rule": "model_not_granted"},
	"another operation": {"input": ask("batch", [["chat", "gpt-4o"]]), "rule": "operation_not_granted"},
	"one bad scope denies all": {
		"input": ask("assistant", [["chat", "gpt-4o"], ["chat.delete", null]]),
		"rule": "operation_not_granted",
	},
	"explorer gets no admin action": {"input": ask("explorer", [["token.revoke", null]]), "rule": "operation_not_granted"},
	"operator gets admin actions": {
		"input": ask("operator", []),
		"rule": "granted",
		"grant": {"scope": ["audit.checkpoint", "policy.explain", "policy.read", "policy.shadow", "token.introspect", "token.revoke"]},
	},
	"operator gets no calls": {"input": ask("operator", [["chat", "gpt-4o"]]), "rule": "operation_not_granted"},
	"intruder gets nothing": {"input": ask("intruder", []), "rule": "subject_not_granted"},
	"the asked lifetime": {"input": bound(60), "rule": "granted", "grant": {"ttl_seconds": 60}},
	"a capped lifetime": {"input": bound(86400), "rule": "granted", "grant": {"ttl_seconds": 3600}},
	"no lifetime": {"input": bound(0), "rule": "ttl_not_positive"},
	"a negative lifetime": {"input": bound(-1), "rule": "ttl_not_positive"},
	"user and ceiling are bound": {
		"input": bound(60),
		"rule": "granted",
		"grant": {"user": "alice", "max_tokens": 100},
	},
	"a user it may vouch for": {"input": request("clerk", [], 60, "carol", null), "rule": "granted", "grant": {"user": "carol"}},
	"a user of its pattern": {"input": request("clerk", [], 60, "claims-7", null), "rule": "granted", "grant": {"user": "claims-7"}},
	"another user": {
		"input": request("clerk", [], 60, "bob", null),
		"rule": "user_not_granted",
		"changes": [{"field": "user", "must": "one_of", "values": ["carol", "claims-*"]}],
	},
	"the grant's users replace the role's": {"input": request("night", [], 60, "nadia", null), "rule": "granted"},
	"and none are left of the role's": {"input": request("night", [], 60, "carol", null), "rule": "user_not_granted"},
	"a role that vouches for nobody": {
		"input": request("batch", [], 60, "carol", null),
		"rule": "user_not_granted",
		"changes": [{"field": "user", "must": "absent", "values": []}],
	},
	"what another scope would be": {
		"input": request("batch", [["chat", null]], 0, "carol", null),
		"rule": "ttl_not_positive",
		"changes": [
			{"field": "ttl_seconds", "must": "absent", "values": []},
			{"field": "scope", "must": "one_of", "values": ["embeddings:text-embedding-3-large", "embeddings:text-embedding-3-small"]},
			{"field": "user", "must": "absent", "values": []},
		],
	},
	"a role for an emergency, when asked": {"input": ask("clerk", [["chat", "gpt-5"]]), "rule": "granted", "grant": {"scope": ["chat:gpt-5"]}},
	"but not of itself": {"input": ask("kiosk", []), "rule": "granted", "grant": {"scope": ["chat:gpt-4o", "chat:gpt-4o-mini", "models"]}},
	"nor when it is over": {
		"input": json.patch(ask("clerk", [["chat", "gpt-5"]]), [{"op": "add", "path": "/time/utc", "value": "2026-11-24T18:00Z"}]),
		"rule": "model_not_granted",
	},
	"no input": {"input": {}, "rule": "subject_not_granted"},
}

test_role_that_grants_nothing_gets_no_token if {
	tokens.decision.rule == "nothing_granted" with input as ask("batch", [])
		with data.grants as fixture.grants
		with data.roles as {"batch": {"operations": {}, "admin": {}, "token": {"default_seconds": 300, "max_seconds": 3600}}}
}

test_explanation if {
	said := tokens.explanation with input as request("clerk", [["embeddings", "gpt-5"], ["chat.list", null]], 0, "bob", null)
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.break_glass as fixture.break_glass
	said.role == "clerk"
	said.team == "claims"
	{condition.rule: condition.holds | some condition in said.conditions} == {
		"subject_not_granted": true,
		"ttl_not_positive": false,
		"operation_not_granted": false,
		"model_not_granted": false,
		"nothing_granted": false,
		"user_not_granted": false,
	}
}

test_explanation_of_a_grant if {
	said := tokens.explanation with input as request("batch", [], 60, null, null)
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.break_glass as fixture.break_glass
	every condition in said.conditions {
		condition.holds
	}
	said.conditions[5].wanted == []
}

test_explanation_of_nothing if tokens.explanation.role == null with input as {}

test_explanation_of_a_stranger if {
	said := tokens.explanation with input as ask("intruder", [])
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.break_glass as fixture.break_glass
	said.role == null
}

ask(name, scope) := request(name, scope, null, null, null)

bound(seconds) := request("assistant", [], seconds, "alice", 100)

request(name, scope, seconds, user, ceiling) := {
	"v": 1,
	"subject": {"id": concat("/", ["spiffe://rules.test/ns/demo/sa", name]), "tenant": "demo", "actor_chain": []},
	"request": {
		"scope": [{"operation": pair[0], "model": pair[1]} | some pair in scope],
		"ttl_seconds": seconds,
		"user": user,
		"max_tokens": ceiling,
		"audience": null,
	},
	"transport": "grpc",
	"now_ns": 1795000000000000000,
	"time": {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "11:43"},
}

granting(rule) if rule == "granted"

granting(rule) := false if rule != "granted"

# A set as the array that JSON makes of it.
listed(value) := [entry | some entry in value] if is_set(value)

listed(value) := value if not is_set(value)
