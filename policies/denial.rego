# METADATA
# title: Why a call is denied
# description: The first condition that fails, and everything that would have to change for the call to be allowed.
# schemas:
#   - input: schema["calls.input"]
package broker.denial

import data.broker.changes
import data.broker.conditions
import data.broker.content
import data.broker.grants
import data.broker.ordinary

decision := {
	"allow": false,
	"rule": failed[0],
	"reason": failed[1],
	"content": judged,
	"changes": needed,
}

# What the subject's role would have changed in each respect: nothing ([]) where its conditions hold. These are
# rules, which both engines evaluate once; undefined where no change would do.
named := changes.named(grants.role)

others := changes.others(grants.role, beyond)

# Patterns are tried on each word that the call reaches: once.
beyond := conditions.beyond(grants.role)

judged := content.actions(grants.role)

blocked if judged[_] == "block"

# The rules of your own that deny the call; the first by name speaks.
objections := [name | data.broker.own.denies[name]]

objection := name if {
	some name in objections
	every other in objections {
		name <= other
	}
}

# What your own rules would have changed; undefined where one of them would not be satisfied by any change.
demanded := [change | change := data.broker.own.denies[_].changes[_]] if {
	every name in objections {
		data.broker.own.denies[name].changes != []
	}
}

# All that would have to change. The first two cases are almost all, and every rule that is asked costs time.
needed := array.concat(named, others) if {
	not blocked
	not ordinary.forbidden
	grants.role_name
} else := array.concat(named, array.concat(others, [changes.without(judged)])) if {
	blocked
	not ordinary.forbidden
} else := array.concat(named, array.concat(others, array.concat(unsent, demanded))) if {
	grants.role_name
} else := []

unsent := [changes.without(judged) | blocked]

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
} else := ["reach_not_granted", "The call reaches what the subject's role does not name in `reaches`."] if {
	not beyond == []
} else := ["output_over_cap", "The call could produce more tokens than the role's max_output_tokens."] if {
	not others == []
} else := ["content_blocked", "The call carries content that the role may not send."] if {
	blocked
} else := [objection, data.broker.own.denies[objection].reason]
