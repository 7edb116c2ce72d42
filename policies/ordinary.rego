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
	role := grants.role

	# What compares comes before what looks up: it costs the engine more, the more has been looked up.
	input.call.reaches == []
	input.call.operation != "models"
	not grants.placement
	not blocked
	not forbidden

	# Nothing that would shape the call or ask for more, in one look: each look at a name walks the whole role.
	object.filter(role, ["cache_for", "limits_by", "objects", "placement", "requires", "response", "shape"]) == {}
	input.estimate.tokens_out_max <= role.max_output_tokens
	grants.holds(data.models[role.operations[input.call.operation]], input.call.model)
	not role.pins[input.call.operation]
}

verdicts := content.actions(grants.role)

# What shape.unkept says of the role; a rule without parameters costs a call that is no response next to nothing.
default unkept := {}

unkept := shape.unstored if {
	input.call.operation == "responses"
	not kept
}

kept if shape.said_whether

kept if conditions.reaches(grants.role, "store")

blocked if verdicts[_] == "block"

# Whether a rule of your own (`broker policy new-rule`) denies the call.
forbidden if data.broker.own.denies[_]
