package broker.tokens

default decision := {"allow": false, "rule": "subject_not_granted", "reason": "No grant.", "changes": []}

decision := {
	"allow": true,
	"rule": "granted",
	"reason": "",
	"grant": {"scope": scope, "ttl_seconds": lifetime, "user": input.request.user, "max_tokens": input.request.max_tokens},
} if {
	data.credentials[input.subject.id]
}

scope := [entry(asked) | some asked in input.request.scope] if {
	input.request.scope != []
} else := data.operations

entry(asked) := asked.operation if asked.model == null

entry(asked) := concat(":", [asked.operation, asked.model]) if asked.model != null

lifetime := input.request.ttl_seconds if {
	input.request.ttl_seconds != null
} else := 600
