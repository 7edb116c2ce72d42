# METADATA
# title: What is changed in an allowed call on its way
# description: >-
#   A role's `shape`: the user forced, parameters capped, fields stripped (from a call that
#   carries them), an alias pinned to a version. Its `pins`
#   name, for an operation, the model used whatever the caller named.
# schemas:
#   - input: schema["calls.input"]
package broker.shape

import data.broker.conditions
import data.broker.output

of(role) := unkept(role) if {
	not role.shape
	not role.pins[input.call.operation]
} else := {"model": role.pins[input.call.operation]} if {
	not role.shape
} else := {
	"set": {pair[0]: pair[1] | some pair in array.concat(capped(role), array.concat(forced(role), unasked(role)))},
	"remove": object.get(role.shape, "strip", []),
	"model": pinned(role),
}

pinned(role) := role.pins[input.call.operation] if {
	role.pins[input.call.operation]
} else := role.shape.aliases[input.call.model] if {
	role.shape.aliases[input.call.model]
} else := null

# Other operations know no `user`.
knows_user := {"chat", "completions", "edits", "embeddings", "responses"}

forced(role) := [["user", verified]] if {
	role.shape.force_user
	input.call.operation in knows_user
} else := []

verified := input.token.user if {
	is_string(input.token.user)
} else := input.subject.id

# What the call carries is capped down; output tokens are capped also where the call leaves them to a default
# that is higher.
capped(role) := [[field, cap] |
	cap := role.shape.caps[name]
	some field in bounding(name)
	too_large(field, cap)
]

bounding(name) := [name] if {
	name != "max_tokens"
} else := own if {
	own != []
} else := [field] if {
	field := output.fields[input.call.operation][0]
}

# What the call carries of the fields that its operation obeys.
own := [field | some field in output.fields[input.call.operation]; field in output.carried]

too_large(field, cap) if {
	output.number(field) > cap
} else if {
	own == []
	field in output.names
	output.asked > cap
}

# OpenAI keeps a response unless the call says otherwise: where the role may not have it kept, it is told not to.
unkept(role) := unstored if {
	input.call.operation == "responses"
	not said_whether
	not conditions.reaches(role, "store")
} else := {}

# A rule of its own, so that the engine makes it only where it is used.
unstored := {"set": {"store": false}}

said_whether if input.call.store != null

unasked(role) := [["store", false]] if {
	unkept(role) != {}
} else := []
