# METADATA
# title: The ordinary call
# description: >-
#   One by a role that asks for nothing special, to a model that its set holds: most calls are of this kind, and a
#   few looks decide them. Whatever is not ordinary is left to the rules after this one, which say the same
#   of an ordinary call, at three times the cost.
# schemas:
#   - input: schema["calls.input"]
package broker.ordinary

import data.broker.content
import data.broker.grants
import data.broker.shape

decision := {
	"allow": true,
	"rule": "granted",
	"reason": "The subject's role grants this operation and model.",
	"content": verdicts,
	"shape": shape.unkept(role),
	"account": input.subject.id,
	"limits": role.limits,
	"models": [],
	"response": data.response,
	"credential": role.credential,
} if {
	role := grants.role
	not role.requires
	not role.shape
	not role.limits_by
	not role.response
	not role.cache_for
	not role.objects
	not role.placement
	not grants.placement
	not role.pins[input.call.operation]
	input.call.operation != "models"
	grants.holds(data.models[role.operations[input.call.operation]], input.call.model)
	input.estimate.tokens_out_max <= role.max_output_tokens
	not reaching
	not blocked
	not forbidden
}

# What the call reaches is looked at where it reaches anything at all: most reach nothing.
reaching if input.call.reaches[_]

verdicts := content.actions(grants.role)

blocked if verdicts[_] == "block"

# Whether a rule of your own (`broker policy new-rule`) denies the call.
forbidden if data.broker.own.denies[_]
