# METADATA
# title: What would have to change for a denied call to be allowed
# description: >-
#   Everything that has to change and nothing that has not. Each part is empty where its conditions hold, and
#   undefined where nothing the caller can do would make them hold: then there are no changes at all.
# schemas:
#   - input: schema["calls.input"]
package broker.changes

import data.broker.conditions
import data.broker.grants
import data.broker.output

# --- operation and model

named(role) := [] if {
	conditions.model_granted(role)
} else := [one_of("model", listed)] if {
	listed := grants.listed(conditions.models(role))
	listed != []
} else := [one_of("operation", able(role))] if {
	not conditions.models(role)
	able(role) != []
} else := [one_of("operation", [operation | role.operations[operation]]), one_of("model", usable(role))] if {
	not conditions.models(role)
	usable(role) != []
}

# The operations for which the role has the model that the call names, or needs none.
able(role) := [operation | some operation in (enough | granted)] if {
	enough := {operation | role.operations[operation]; input.call.model == null; data.model_optional[operation]}
	granted := {operation | chosen := role.operations[operation]; chosen in holding}
}

# The sets of models that hold the one that the call names; where it names none, those that hold any.
holding contains name if {
	some name, _ in data.models
	grants.holds(data.models[name], input.call.model)
}

holding contains name if {
	some name, models in data.models
	input.call.model == null
	"*" in models.patterns
}

# The models of all operations, each once.
usable(role) := [model | some model in {name |
	chosen := role.operations[_]
	some name in grants.listed(data.models[chosen])
}]

# Everything but operation, model and content; `beyond` is what the call reaches and the role does not name. Few roles
# have `requires`, and one look tells.
others(role, beyond) := [] if {
	not role.requires
	conditions.within_cap(role)
	beyond == []
} else := array.concat(user(role), array.concat(window(role), array.concat(parameters(role), reach(beyond))))

# --- user and time

user(role) := [] if {
	conditions.user_verified(role)
} else := [{"field": "user", "must": "present", "values": []}]

window(role) := [] if {
	conditions.in_window(role)
} else := [{"field": "time", "must": "during", "values": [spoken(open) | some open in role.requires.windows]}] if {
	role.requires.windows != []
}

spoken(open) := concat(" ", [concat(", ", days), concat("-", [open.from, open.to])]) if {
	days := [data.weekdays[format_int(day, 10)] | some day in open.days]
}

# --- parameters

parameters(role) := [] if {
	conditions.within_cap(role)
	conditions.within_ceilings(role)
} else := array.concat(
	[at_most(field, ceiling) | ceiling := ceilings[field]; not shorter[field]],
	[at_most(field, most) | most := shorter[field]],
) if {
	ceilings := conditions.over_ceilings(role)
	shorter := shortened(role)
}

# The bound of each field that must be lower for the whole answer to be short enough.
shortened(role) := {} if {
	conditions.within_cap(role)
} else := {field: output.bound(role) |
	some field in output.carried
	input.call.parameters[field] > output.bound(role)
} if {
	output.carried != []
	output.bound(role)
} else := {output.fields[input.call.operation][0]: output.bound(role)}

# --- what the call reaches

reach(beyond) := [] if {
	beyond == []
} else := [{"field": "call", "must": "absent", "values": beyond}]

# --- content

# Content that the role may send, where it blocks some of what was found.
without(judged) := {"field": "content", "must": "absent", "values": [rule | judged[rule] == "block"]}

one_of(field, values) := {"field": field, "must": "one_of", "values": values}

at_most(field, value) := {"field": field, "must": "at_most", "values": [sprintf("%v", [value])]}
