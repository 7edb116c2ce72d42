# METADATA
# title: What a call is charged against, and in whose account
# description: >-
#   Each of the role's limits is counted `by` subject (where it does not say), team or user. Without a team, or
#   without a verified user, the subject itself is counted.
# schemas:
#   - input: schema["calls.input"]
package broker.limits

import data.broker.grants

of(role) := {name: {
	"account": account(limit),
	"unit": limit.unit,
	"cap": limit.cap,
	"window_seconds": limit.window_seconds,
} |
	limit := role.limits[name]
}

# A prefix keeps a user whose name looks like a subject out of that subject's account.
account(limit) := input.subject.id if {
	not limit.by
} else := concat(":", ["team", grants.team]) if {
	limit.by == "team"
} else := concat(":", ["user", input.token.user]) if {
	limit.by == "user"
	is_string(input.token.user)
} else := input.subject.id
