package broker.tokens_test

import data.broker.tokens

test_decision[name] if {
	some name, case in cases
	decision := tokens.decision with input as case.input
	decision.rule == case.rule
	decision.allow == granting(case.rule)
	every field, value in object.get(case, "grant", {}) {
		listed(decision.grant[field]) == value
	}
}

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
		"grant": {"scope": ["audit.checkpoint", "token.introspect", "token.revoke"]},
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
	"no input": {"input": {}, "rule": "subject_not_granted"},
}

test_role_that_grants_nothing_gets_no_token if {
	tokens.decision.rule == "nothing_granted" with input as ask("batch", [])
		with data.roles.batch as {"operations": {}, "admin": {}, "token": {"default_seconds": 300, "max_seconds": 3600}}
}

ask(name, scope) := request(name, scope, null, null, null)

bound(seconds) := request("assistant", [], seconds, "alice", 100)

request(name, scope, seconds, user, ceiling) := {
	"v": 1,
	"subject": {"id": concat("/", ["spiffe://dev.broker/ns/demo/sa", name]), "tenant": "demo", "actor_chain": []},
	"request": {
		"scope": [{"operation": pair[0], "model": pair[1]} | some pair in scope],
		"ttl_seconds": seconds,
		"user": user,
		"max_tokens": ceiling,
		"audience": null,
	},
	"transport": "grpc",
	"now_ns": 1795000000000000000,
}

granting(rule) if rule == "granted"

granting(rule) := false if rule != "granted"

# A set as the array that JSON makes of it.
listed(value) := [entry | some entry in value] if is_set(value)

listed(value) := value if not is_set(value)
