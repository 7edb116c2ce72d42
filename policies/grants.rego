# METADATA
# title: What a subject holds
# description: >-
#   Shared by the three decision points. A grant names a role and perhaps a team; a role names the operations and,
#   for each, a set of models. Everything is looked up by key: the cost does not grow with the number of grants.
package broker.grants

# The name of the subject's role; undefined where no grant names the subject, or where it acts for others:
# delegation is not granted to anybody yet.
role_name := data.grants[input.subject.id].role if input.subject.actor_chain == []

role := data.roles[role_name]

team := data.grants[input.subject.id].team

# Where the subject's calls must be served, as far as its grant says.
placement := data.grants[input.subject.id].placement

# The users the subject may vouch for: the grant's own, otherwise its role's.
users := data.grants[input.subject.id].users if {
	data.grants[input.subject.id].users
} else := role.token.users

# Whether a set (of models, of users) holds this name: exactly, or by one of the set's patterns. The embedded engine is
# spared the question where it is `grants.holds(data.<table>[…], input.<path>)`: keep to that form (adr/0073).
holds(chosen, name) if {
	key := name
	chosen.exact[key]
} else if {
	some pattern in chosen.patterns
	fits(pattern, name)
}

# Whether a text fits a pattern, where `*` is any run of characters. `glob.match` is the quicker, but of three stars
# rego-cpp tries one way after another: then each part is taken where it first fits, which no text makes slow.
fits(pattern, text) if {
	strings.count(pattern, "*") < 3
	glob.match(pattern, null, text)
} else if {
	parts := split(pattern, "*")
	count(parts) == 4
	startswith(text, parts[0])
	rest := trim_prefix(text, parts[0])
	endswith(rest, parts[3])
	follow(trim_suffix(rest, parts[3]), parts[1], parts[2])
}

# Whether a text holds one part and, behind it, another.
follow(text, first, second) if {
	first == ""
	contains(text, second)
} else if {
	second == ""
	contains(text, first)
} else if {
	first != ""
	second != ""
	at := indexof(text, first)
	at >= 0
	contains(substring(text, at + count(first), -1), second)
}

# All that a set names: its exact names, and its patterns.
listed(chosen) := array.concat([name | chosen.exact[name]], chosen.patterns)

# How an explanation begins.
named := {
	"rule": "subject_not_granted",
	"holds": true,
	"condition": "A grant names the subject, and it acts for nobody else.",
	"given": input.subject.id,
	"wanted": null,
}

# The explanation for a subject without a role.
stranger := {"role": null, "team": null, "conditions": [{
	"rule": "subject_not_granted",
	"holds": false,
	"condition": named.condition,
	"given": input.subject.id,
	"wanted": null,
}]}

team_or_null := team if {
	team
} else := null
