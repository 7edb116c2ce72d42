# METADATA
# title: Whose the objects are that OpenAI keeps
# description: >-
#   A role's `objects`: who owns the responses and chats that its calls have kept (`owner`: subject, team or user),
#   and what was made otherwise and is lent to the role (`lent`: ids of prompts, files, vector stores …), and how many
#   tokens are reserved at most for what a call names and nobody can count (`unseen_tokens`). A role that
#   says nothing owns for its subject, and is lent nothing. What is not owned does not exist for the caller.
# schemas:
#   - input: schema["calls.input"]
package broker.objects

import data.broker.grants

# The answer, with the owner and what is lent where the role says so.
owned(answer, role) := answer if {
	not role.objects
} else := json.patch(answer, [{"op": "add", "path": "/objects", "value": of(role)}])

of(role) := json.patch(
	{
		"owner": owner(role),
		"lent": [id | object.get(role.objects, "lent", {})[id]],
	},
	[{"op": "add", "path": "/unseen_tokens", "value": tokens} | tokens := role.objects.unseen_tokens],
)

# A team owns for all its subjects; a user of a subject owns less than the subject. Where there is no team, or the
# token names no user, it is the subject.
owner(role) := concat(" ", ["team", input.subject.tenant, grants.team]) if {
	role.objects.owner == "team"
	grants.team
} else := concat(" ", [input.subject.id, "user", input.token.user]) if {
	role.objects.owner == "user"
	is_string(input.token.user)
} else := input.subject.id
