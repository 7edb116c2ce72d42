# METADATA
# title: A role for an emergency
# description: >-
#   `data.break_glass` names, by subject, a role that somebody approved until a time. It is used where the subject's
#   own role does not do, and only by a call that says why; people are told of each one.
# schemas:
#   - input: schema["calls.input"]
package broker.break_glass

# The entry while it lasts.
entry := data.break_glass[input.subject.id] if {
	input.subject.actor_chain == []
	is_string(input.time.utc)
	input.time.utc < data.break_glass[input.subject.id].until
}

default said_why := false

said_why if {
	is_string(input.call.purpose)
	count(input.call.purpose) >= 8
}

# The role of a call that says why; undefined for any other.
role := data.roles[entry.role] if said_why

# The purpose is the caller's own text, so it is in the record and not here.
alert := concat("", ["Break-glass role ", entry.role, " used; approved by ", entry.approved_by, " until ", entry.until, "."])
