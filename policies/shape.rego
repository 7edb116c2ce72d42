# METADATA
# title: What is changed in an allowed call on its way
# description: >-
#   A role's `shape`: the user forced, parameters capped, fields stripped (from a call that
#   carries them), an alias pinned to a version. Its `pins`
#   name, for an operation, the model used whatever the caller named. Where a call leaves a number out, its
#   ceilings are sent as its caps are.
# schemas:
#   - input: schema["calls.input"]
package broker.shape

import data.broker.bounds
import data.broker.conditions
import data.broker.output

of(role) := unkept(role) if {
	plain(role)
	not role.pins[input.call.operation]
} else := {"model": role.pins[input.call.operation]} if {
	plain(role)
	unkept(role) == {}
} else := {
	"set": {pair[0]: pair[1] | some pair in array.concat(numbers(role), array.concat(forced(role), unasked(role)))},
	"remove": object.get(object.get(role, "shape", {}), "strip", []),
	"model": pinned(role),
}

plain(role) if {
	not role.shape
	not role.requires.ceilings
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

numbers(role) := array.concat(capped(role), bounds.unnamed(role, sent(role)))

# What the call carries is capped down.
capped(role) := [[field, cap] |
	cap := role.shape.caps[name]
	some field in carried(name)
	input.call.parameters[field] > cap
]

carried(name) := output.carried if {
	name == "max_tokens"
} else := [name] if {
	is_number(input.call.parameters[name])
} else := []

# The model that upstream is asked for.
sent(role) := pinned(role) if {
	pinned(role) != null
} else := input.call.model

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
