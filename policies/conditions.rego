# METADATA
# title: What a call must meet, besides its content
# description: >-
#   Each condition holds or is undefined, so that what the input lacks denies. What a role does not ask for holds
#   at once. `role` is a parameter because a call may be judged by two: the subject's, and that of break-glass.
# schemas:
#   - input: schema["calls.input"]
package broker.conditions

import data.broker.grants
import data.broker.output

met(role) if {
	model_granted(role)
	user_verified(role)
	in_window(role)
	within_ceilings(role)
	within_cap(role)
	within_reach(role)
}

# The set of models the role has for the operation; undefined where the operation is not granted.
models(role) := data.models[role.operations[input.call.operation]]

# Without a model only a role that may use any model can be sure to be allowed the one upstream picks,
# except where upstream's choice is not in doubt.
model_granted(role) if {
	grants.holds(data.models[role.operations[input.call.operation]], input.call.model)
} else if {
	input.call.model == null
	data.model_optional[input.call.operation]
	models(role)
} else if {
	input.call.model == null
	granted := models(role)
	"*" in granted.patterns
}

user_verified(role) if {
	not role.requires.user
} else if {
	is_string(input.token.user)
}

in_window(role) if {
	not role.requires.windows
} else if {
	is_string(input.time.clock)
	some window in role.requires.windows
	input.time.weekday in window.days
	window.from <= input.time.clock
	input.time.clock < window.to
}

within_ceilings(role) if {
	not role.requires.ceilings
} else if {
	over_ceilings(role) == {}
}

# Which fields are over which ceiling. That of `max_tokens` is for each name a bound of output tokens goes by.
over_ceilings(role) := {field: ceiling |
	ceiling := role.requires.ceilings[name]
	some field in ceiled(name)
	value := input.call.parameters[field]
	not fits(value, ceiling)
}

ceiled(name) := output.names if {
	name == "max_tokens"
} else := [name]

fits(value, ceiling) if {
	is_number(value)
	value <= ceiling
}

within_cap(role) if {
	input.estimate.tokens_out_max <= role.max_output_tokens
} else if {
	output.worst(role) <= role.max_output_tokens
}

# What the call reaches beyond its model (kept, in the background, tools, servers) must be named by the role.
within_reach(role) if {
	beyond(role) == []
}

beyond(role) := [reach | some reach in input.call.reaches; not reaches(role, reach)]

# A set of words, as sets of models are; a role without one reaches nothing.
reaches(role, word) if grants.holds(role.reaches, word)
