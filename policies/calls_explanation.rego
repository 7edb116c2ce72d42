# Every condition of a call, passed or not: the security team's view. The caller of a denied call sees `changes`.
package broker.calls

import data.broker.break_glass
import data.broker.conditions
import data.broker.content
import data.broker.grants
import data.broker.ordinary

default explanation := {"role": null, "team": null, "conditions": []}

explanation := {
	"role": grants.role_name,
	"team": grants.team_or_null,
	"conditions": array.concat([grants.named], array.concat(explained, emergency)),
} if {
	grants.role
} else := grants.stranger

explained := [
	{
		"rule": "operation_not_granted",
		"holds": "operation_not_granted" in passed,
		"condition": "The role names the operation.",
		"given": input.call.operation,
		"wanted": [operation | grants.role.operations[operation]],
	},
	{
		"rule": "model_not_granted",
		"holds": "model_not_granted" in passed,
		"condition": "The role's set of models for the operation holds the model.",
		"given": input.call.model,
		"wanted": granted_models,
	},
	{
		"rule": "user_required",
		"holds": "user_required" in passed,
		"condition": "The token names a user, where the role requires one.",
		"given": input.token.user,
		"wanted": object.get(required, "user", false),
	},
	{
		"rule": "outside_window",
		"holds": "outside_window" in passed,
		"condition": "The time is in one of the role's windows, where it has some.",
		"given": local_time,
		"wanted": object.get(required, "windows", []),
	},
	{
		"rule": "parameter_over_ceiling",
		"holds": "parameter_over_ceiling" in passed,
		"condition": "No parameter is over a ceiling of the role.",
		"given": input.call.parameters,
		"wanted": object.get(required, "ceilings", {}),
	},
	{
		"rule": "output_over_cap",
		"holds": "output_over_cap" in passed,
		"condition": "The call can produce no more tokens than the role's max_output_tokens.",
		"given": input.estimate.tokens_out_max,
		"wanted": object.get(grants.role, "max_output_tokens", null),
	},
	{
		"rule": "reach_not_granted",
		"holds": "reach_not_granted" in passed,
		"condition": "The role names all that the call reaches beyond its model.",
		"given": object.get(input.call, "reaches", []),
		"wanted": reachable,
	},
	{
		"rule": "content_blocked",
		"holds": "content_blocked" in passed,
		"condition": "Nothing was found that the role's content table blocks.",
		"given": content.actions(grants.role),
		"wanted": object.get(grants.role, "content", null),
	},
	{
		"rule": "own",
		"holds": "own" in passed,
		"condition": "No rule of your own denies the call.",
		"given": [name | data.broker.own.denies[name]],
		"wanted": [],
	},
]

# Where the subject has a role for an emergency, whether this call may use it.
emergency := [{
	"rule": "break_glass",
	"holds": "break_glass" in passed,
	"condition": "The call says why it breaks the glass, in 8 characters or more.",
	"given": break_glass.said_why,
	"wanted": break_glass.entry,
}] if {
	break_glass.entry
} else := []

required := object.get(grants.role, "requires", {})

granted_models := grants.listed(conditions.models(grants.role)) if {
	conditions.models(grants.role)
} else := []

reachable := grants.listed(grants.role.reaches) if {
	grants.role.reaches
} else := []

local_time := {"weekday": input.time.weekday, "clock": input.time.clock} if {
	input.time.weekday
	input.time.clock
} else := null

passed contains "operation_not_granted" if conditions.models(grants.role)

passed contains "model_not_granted" if conditions.model_granted(grants.role)

passed contains "user_required" if conditions.user_verified(grants.role)

passed contains "outside_window" if conditions.in_window(grants.role)

passed contains "parameter_over_ceiling" if conditions.within_ceilings(grants.role)

passed contains "output_over_cap" if conditions.within_cap(grants.role)

passed contains "reach_not_granted" if conditions.within_reach(grants.role)

passed contains "content_blocked" if not content.blocked(grants.role)

passed contains "own" if not ordinary.forbidden

passed contains "break_glass" if break_glass.role
