# METADATA
# title: May this subject do this to the broker itself
# description: Introspect, revoke, read records, explain decisions. Denied unless the role names the action.
# schemas:
#   - input: schema["admin.input"]
package broker.admin

import data.broker.grants

default decision := {
	"allow": false,
	"rule": "subject_not_granted",
	"reason": "No grant names this subject.",
}

decision := {
	"allow": true,
	"rule": "granted",
	"reason": "The subject's role names this action.",
} if {
	grants.role.admin[input.action] == true
} else := {
	"allow": false,
	"rule": "action_not_granted",
	"reason": "The subject's role does not name this action.",
} if {
	grants.role
}

default explanation := {"role": null, "team": null, "conditions": []}

explanation := {
	"role": grants.role_name,
	"team": grants.team_or_null,
	"conditions": [grants.named, {
		"rule": "action_not_granted",
		"holds": decision.allow,
		"condition": "The role names the action.",
		"given": input.action,
		"wanted": [action | grants.role.admin[action]],
	}],
} if {
	grants.role
} else := grants.stranger
