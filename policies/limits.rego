# METADATA
# title: What a call is charged against, and in whose account
# description: >-
#   A role's `limits` are counted for the subject, those below `limits_by.team` and `limits_by.user` for the
#   grant's team and the token's user; without a team, or without a user, the subject itself is counted.
# schemas:
#   - input: schema["calls.input"]
package broker.limits

import data.broker.grants

# A limit that names no account is counted in that of the decision, which is the subject's.
of(role) := role.limits if {
	not role.limits_by
} else := {name: charged(part.account, part.limits[name]) |
	some part in [
		{"account": input.subject.id, "limits": role.limits},
		{"account": team, "limits": object.get(role.limits_by, "team", {})},
		{"account": user, "limits": object.get(role.limits_by, "user", {})},
	]
	part.limits[name]
}

charged(account, limit) := {key: value |
	some part in [limit, {"account": account}]
	some key, value in part
}

# A prefix keeps a user whose name looks like a subject out of that subject's account.
team := concat(":", ["team", grants.team]) if {
	grants.team
} else := input.subject.id

user := concat(":", ["user", input.token.user]) if {
	is_string(input.token.user)
} else := input.subject.id
