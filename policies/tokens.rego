# METADATA
# title: May this subject have this token
# description: >-
#   Every scope that is asked must be granted at least in part; the grant holds the part that is. Nothing asked
#   means all that the role may do. A token never lives longer than the role's `token.max_seconds`, and names
#   only a user for whom the subject may vouch.
# schemas:
#   - input: schema["tokens.input"]
package broker.tokens

import data.broker.break_glass
import data.broker.grants

default decision := {
	"allow": false,
	"rule": "subject_not_granted",
	"reason": "No grant names this subject.",
	"changes": [],
}

decision := denied("ttl_not_positive", "The asked lifetime is not a positive number of seconds.") if {
	grants.role
	not ttl_positive
} else := denied("operation_not_granted", "The subject's role does not name an operation of the asked scope.") if {
	grants.role
	not operations_granted
} else := denied("model_not_granted", "The subject's role grants no model of an asked scope.") if {
	grants.role
	not models_granted
} else := denied("nothing_granted", "The subject's role grants nothing a token could carry.") if {
	grants.role
	count(scope) == 0
} else := denied("user_not_granted", "The subject may not vouch for the asked user.") if {
	grants.role
	not user_granted
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

denied(rule, reason) := {"allow": false, "rule": rule, "reason": reason, "changes": changes}

# --- conditions

ttl_positive if ttl > 0

operations_granted if {
	every asked in input.request.scope {
		offered(asked.operation)
	}
}

offered(operation) if {
	some source in [operations, emergency]
	name := operation
	source[name]
}

models_granted if {
	every asked in input.request.scope {
		count(granted(asked)) > 0
	}
}

user_granted if {
	input.request.user == null
} else if {
	grants.holds(grants.users, input.request.user)
}

# --- what is granted

ttl := input.request.ttl_seconds if {
	input.request.ttl_seconds != null
} else := grants.role.token.default_seconds

lifetime := ttl if {
	ttl <= grants.role.token.max_seconds
} else := grants.role.token.max_seconds

# Everything the role may do: the models of its operations, and its admin actions, which have none.
operations[operation] := data.models[name] if some operation, name in grants.role.operations

operations[action] := {"exact": {}, "patterns": ["*"]} if some action, true in grants.role.admin

# What a role for an emergency adds while it lasts, to those who ask for it. Using it takes a reason each time.
emergency[operation] := data.models[name] if {
	some operation, name in data.roles[break_glass.entry.role].operations
}

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
granted(asked) := {entry(asked.operation, model) |
	some source in [operations, emergency]
	some model in held(source[asked.operation], asked.model)
}

held(models, asked) := everything(models) if asked == null

held(models, asked) := {asked | grants.holds(models, asked)} | narrower(models, asked) if asked != null

narrower(models, asked) := {model |
	some model in everything(models)
	grants.fits(asked, model)
}

everything(models) := {model | some model in grants.listed(models)}

entry(operation, model) := operation if model == "*"

entry(operation, model) := concat(":", [operation, model]) if model != "*"

# --- what would be allowed

# All that has to change; nothing where no change would do.
changes := array.concat(ttl_changes, array.concat(scope_changes, user_changes)) if {
	count(all_entries) > 0
} else := []

ttl_changes := [] if {
	ttl_positive
} else := [{"field": "ttl_seconds", "must": "absent", "values": []}]

scope_changes := [] if {
	operations_granted
	models_granted
} else := [{"field": "scope", "must": "one_of", "values": [each | some each in all_entries]}]

user_changes := [] if {
	user_granted
} else := [{"field": "user", "must": "one_of", "values": vouched}] if {
	vouched != []
} else := [{"field": "user", "must": "absent", "values": []}]

vouched := grants.listed(grants.users)

all_entries contains entry(operation, model) if {
	some source in [operations, emergency]
	some operation, models in source
	some model in everything(models)
}

# --- every condition, passed or not

default explanation := {"role": null, "team": null, "conditions": []}

explanation := {
	"role": grants.role_name,
	"team": grants.team_or_null,
	"conditions": array.concat([grants.named], explained),
} if {
	grants.role
} else := grants.stranger

explained := [
	{
		"rule": "ttl_not_positive",
		"holds": "ttl_not_positive" in passed,
		"condition": "The lifetime is a positive number of seconds; it is cut to what is wanted at most.",
		"given": input.request.ttl_seconds,
		"wanted": grants.role.token.max_seconds,
	},
	{
		"rule": "operation_not_granted",
		"holds": "operation_not_granted" in passed,
		"condition": "The role names every asked operation.",
		"given": [asked.operation | some asked in input.request.scope],
		"wanted": [operation | operations[operation]],
	},
	{
		"rule": "model_not_granted",
		"holds": "model_not_granted" in passed,
		"condition": "The role grants some model of every asked scope.",
		"given": input.request.scope,
		"wanted": all_entries,
	},
	{
		"rule": "nothing_granted",
		"holds": "nothing_granted" in passed,
		"condition": "There is something for the token to carry.",
		"given": scope,
		"wanted": null,
	},
	{
		"rule": "user_not_granted",
		"holds": "user_not_granted" in passed,
		"condition": "The subject may vouch for the asked user.",
		"given": input.request.user,
		"wanted": users,
	},
]

users := vouched if {
	vouched
} else := []

passed contains "ttl_not_positive" if ttl_positive

passed contains "operation_not_granted" if operations_granted

passed contains "model_not_granted" if models_granted

passed contains "nothing_granted" if count(scope) > 0

passed contains "user_not_granted" if user_granted
