# METADATA
# title: May this subject have this token
# description: >-
#   Every scope that is asked must be granted at least in part; the grant holds the part that is. Nothing asked
#   means all that the role may do. A token never lives longer than the role's `token.max_seconds`.
# schemas:
#   - input: schema["tokens.input"]
package broker.tokens

import data.broker.grants

default decision := {
	"allow": false,
	"rule": "subject_not_granted",
	"reason": "No grant names this subject.",
	"changes": [],
}

decision := denied("ttl_not_positive", "The asked lifetime is not a positive number of seconds.") if {
	grants.role
	ttl <= 0
} else := denied("operation_not_granted", "The subject's role does not name an operation of the asked scope.") if {
	grants.role
	some asked in input.request.scope
	not operations[asked.operation]
} else := denied("model_not_granted", "The subject's role grants no model of an asked scope.") if {
	grants.role
	some asked in input.request.scope
	count(granted(asked)) == 0
} else := denied("nothing_granted", "The subject's role grants nothing a token could carry.") if {
	grants.role
	count(scope) == 0
} else := {
	"allow": true,
	"rule": "granted",
	"reason": "The subject's role grants this scope.",
	"grant": {
		"scope": scope,
		"ttl_seconds": lifetime,
		"user": input.request.user,
		"max_tokens": input.request.max_tokens,
	},
} if {
	grants.role
}

denied(rule, reason) := {"allow": false, "rule": rule, "reason": reason, "changes": []}

ttl := input.request.ttl_seconds if {
	input.request.ttl_seconds != null
} else := grants.role.token.default_seconds

lifetime := ttl if {
	ttl <= grants.role.token.max_seconds
} else := grants.role.token.max_seconds

# Everything the role may do: the models of its operations, and its admin actions, which have none.
operations[operation] := data.models[name] if some operation, name in grants.role.operations

operations[action] := {"exact": {}, "patterns": ["*"]} if some action, true in grants.role.admin

wanted := input.request.scope if {
	input.request.scope != []
} else := [{"operation": operation, "model": null} | operations[operation]]

scope contains entry if {
	some asked in wanted
	some entry in granted(asked)
}

# The part of one asked scope that the role holds, never wider than either: an asked pattern is granted whole
# where one of the role's covers it, and otherwise the role's models and patterns that it covers. (To a pattern
# the `*` of another is a plain character, so covering it means covering all that it stands for.)
granted(asked) := {entry(asked.operation, model) | some model in held(operations[asked.operation], asked.model)}

held(models, asked) := everything(models) if asked == null

held(models, asked) := {asked | grants.holds(models, asked)} | narrower(models, asked) if asked != null

narrower(models, asked) := {model |
	some model in everything(models)
	glob.match(asked, null, model)
}

everything(models) := {model | models.exact[model]} | {pattern | some pattern in models.patterns}

entry(operation, model) := operation if model == "*"

entry(operation, model) := concat(":", [operation, model]) if model != "*"
