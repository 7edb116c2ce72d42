# METADATA
# title: The ordinary call
# description: >-
#   One by a role that asks for nothing special, to a model that its set holds: most calls are of this kind, and a
#   few looks decide them. Whatever is not ordinary is left to the rules after this one, which say the same
#   of an ordinary call, at three times the cost.
# schemas:
#   - input: schema["calls.input"]
package broker.ordinary

import data.broker.conditions
import data.broker.content
import data.broker.grants
import data.broker.shape

decision := {
	"allow": true,
	"rule": "granted",
	"reason": "The subject's role grants this operation and model.",
	"content": verdicts,
	"shape": unkept,
	"account": input.subject.id,
	"limits": role.limits,
	"models": [],
	"response": data.response,
	"credential": role.credential,
} if {
	# What compares comes first: it costs the engine more, the more has been looked up before it.
	input.call.reaches == []
	input.call.operation != "models"
	not grants.placement
	not blocked
	not forbidden
	role := grants.role
	input.estimate.tokens_out_max <= role.max_output_tokens
	grants.holds(data.models[role.operations[input.call.operation]], input.call.model)
	not role.requires
	not role.shape
	not role.limits_by
	not role.response
	not role.cache_for
	not role.objects
	not role.placement
	not role.pins[input.call.operation]
}

verdicts := content.actions(grants.role)

# What shape.unkept says of the role; a rule without parameters costs a call that is no response next to nothing.
default unkept := {}

unkept := {"set": {"store": false}} if {
	input.call.operation == "responses"
	not kept
}

kept if shape.said_whether

kept if conditions.reaches(grants.role, "store")

blocked if verdicts[_] == "block"

# Whether a rule of your own (`broker policy new-rule`) denies the call.
forbidden if data.broker.own.denies[_]
