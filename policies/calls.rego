# METADATA
# title: May this call go, shaped how, under which limits
# description: >-
#   Allowed when every check passes, otherwise denied by the first that fails, which names itself in `rule`.
#   The allowing rule stands first because it runs on every call; naming what failed may cost more.
# schemas:
#   - input: schema["calls.input"]
package broker.calls

import data.broker.grants

default decision := {
	"allow": false,
	"rule": "subject_not_granted",
	"reason": "No grant names this subject.",
	"content": {},
	"changes": [],
}

decision := {
	"allow": true,
	"rule": "granted",
	"reason": "The subject's role grants this operation and model.",
	"content": content,
	"shape": shape,
	"limits": {name: {"account": input.subject.id, "unit": l.unit, "cap": l.cap, "window_seconds": l.window_seconds} | l := grants.role.limits[name]},
	"models": visible,
	"response": data.response,
	"credential": grants.role.credential,
} if {
	model_granted
	within_cap
	not blocked
} else := denied("operation_not_granted", "The subject's role does not name this operation.") if {
	grants.role
	not models
} else := denied("model_not_granted", "The subject's role does not grant this model for this operation.") if {
	grants.role
	not model_granted
} else := denied("output_over_cap", "The call could produce more tokens than the role's max_output_tokens.") if {
	grants.role
	not within_cap
} else := denied("content_blocked", "The call carries content that the role may not send.") if {
	blocked
}

denied(rule, reason) := {"allow": false, "rule": rule, "reason": reason, "content": content, "changes": []}

# --- operation and model

# The set of models the role has for this operation; undefined where the operation is not granted.
models := data.models[grants.role.operations[input.call.operation]]

# Without a model only a role that may use any model can be sure to be allowed the one upstream picks,
# except where upstream's choice is not in doubt.
model_granted if {
	grants.holds(models, input.call.model)
} else if {
	input.call.model == null
	data.model_optional[input.call.operation]
	models
} else if {
	input.call.model == null
	"*" in models.patterns
}

# A listing of models shows what `models.get` would give.
visible := array.concat([model | gettable.exact[model]], gettable.patterns) if {
	input.call.operation == "models"
	gettable := data.models[grants.role.operations["models.get"]]
} else := []

# --- content

# What is done about each rule that found something: block, redact or allow.
content := {} if {
	input.findings == []
} else := {finding.rule: action(finding.rule) | some finding in input.findings}

# The rule's own line in the role's table, otherwise its family's (what stands before the first dot).
action(rule) := object.get(table, rule, object.get(table, split(rule, ".")[0], "block"))

table := data.content[grants.role.content]

blocked if content[_] == "block"

# --- size and shape

within_cap if input.estimate.tokens_out_max <= grants.role.max_output_tokens

# What is changed on the way. For edits, which upstream no longer serves, the chat model that performs them.
shape := {"model": grants.role.pins[input.call.operation]} if {
	grants.role.pins[input.call.operation]
} else := {}
