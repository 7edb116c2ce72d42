# METADATA
# title: What an allowed call gets
# description: Its shape, limits, key, and what is done to the reply, as the role says that allows it.
# schemas:
#   - input: schema["calls.input"]
package broker.terms

import data.broker.grants
import data.broker.limits
import data.broker.objects
import data.broker.placement
import data.broker.shape

allowed(role, verdicts, rule, reason) := objects.owned(
	placement.placed(
		{
			"allow": true,
			"rule": rule,
			"reason": reason,
			"content": verdicts,
			"shape": shape.of(role),
			"account": input.subject.id,
			"limits": limits.of(role),
			"models": visible(role),
			"response": response(role),
			"credential": role.credential,
		},
		role,
	),
	role,
)

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
