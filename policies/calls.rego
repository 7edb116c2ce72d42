# METADATA
# title: May this call go, shaped how, under which limits
# description: >-
#   Allowed when every condition holds, otherwise denied by the first that fails, which names itself in `rule`.
#   The allowing rule stands first because it runs on every call; naming what failed may cost more.
# schemas:
#   - input: schema["calls.input"]
package broker.calls

import data.broker.break_glass
import data.broker.changes
import data.broker.conditions
import data.broker.content
import data.broker.grants
import data.broker.limits
import data.broker.placement
import data.broker.shape

default decision := {
	"allow": false,
	"rule": "subject_not_granted",
	"reason": "No grant names this subject.",
	"content": {},
	"changes": [],
}

decision := kept(placement.placed(
	allowed(grants.role, judged, "granted", "The subject's role grants this operation and model."),
	grants.role,
)) if {
	named == []
	others == []
	not blocked
} else := json.patch(
	placement.placed(
		allowed(break_glass.role, content.actions(break_glass.role), "break_glass", "The subject broke the glass."),
		break_glass.role,
	),
	[{"op": "add", "path": "/alert", "value": break_glass.alert}],
) if {
	not blocked
	conditions.met(break_glass.role)
	not content.blocked(break_glass.role)
} else := kept({
	"allow": false,
	"rule": failed[0],
	"reason": failed[1],
	"content": judged,
	"changes": needed,
})

# What the subject's role would have changed in each respect: nothing ([]) where its conditions hold. These are
# rules, which both engines evaluate once; undefined where no change would do.
named := changes.named(grants.role)

others := changes.others(grants.role)

judged := content.actions(grants.role)

blocked if judged[_] == "block"

needed := array.concat(named, array.concat(others, changes.found(judged))) if {
	grants.role_name
} else := []

allowed(role, verdicts, rule, reason) := {
	"allow": true,
	"rule": rule,
	"reason": reason,
	"content": verdicts,
	"shape": shape.of(role),
	"limits": limits.of(role),
	"models": visible(role),
	"response": response(role),
	"credential": role.credential,
}

# The decision, with how long equal calls may be answered the same, where the role says so.
kept(answer) := answer if {
	not grants.role.cache_for
} else := json.patch(answer, [{"op": "add", "path": "/cache_for", "value": grants.role.cache_for}])

# A listing of models shows what `models.get` would give.
visible(role) := [] if {
	input.call.operation != "models"
} else := grants.listed(data.models[role.operations["models.get"]]) if {
	role.operations["models.get"]
} else := []

response(role) := role.response if {
	role.response
} else := data.response

# The first condition that does not hold.
failed := ["operation_not_granted", "The subject's role does not name this operation."] if {
	grants.role_name
	not grants.role.operations[input.call.operation]
} else := ["model_not_granted", "The subject's role does not grant this model for this operation."] if {
	not named == []
} else := ["user_required", "The subject's role calls only for a user that the token names."] if {
	not conditions.user_verified(grants.role)
} else := ["outside_window", "The subject's role may not call at this time."] if {
	not conditions.in_window(grants.role)
} else := ["parameter_over_ceiling", "A parameter is over the ceiling of the subject's role."] if {
	not conditions.within_ceilings(grants.role)
} else := ["output_over_cap", "The call could produce more tokens than the role's max_output_tokens."] if {
	not others == []
} else := ["content_blocked", "The call carries content that the role may not send."] if {
	blocked
}
