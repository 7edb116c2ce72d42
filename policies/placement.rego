# METADATA
# title: Where a call must be served
# description: >-
#   A role's `placement`, a grant's `placement`: a team whose keys serve, a region. What the grant says of a field
#   goes before what the role says of it. Where neither says anything, any key of no team may serve.
# schemas:
#   - input: schema["calls.input"]
package broker.placement

import data.broker.grants

# The answer, with the placement where there is one.
placed(answer, role) := answer if {
	not role.placement
	not grants.placement
} else := json.patch(answer, [{"op": "add", "path": "/placement", "value": of(role)}])

of(role) := {field: place |
	some field in ["region", "team"]
	place := chosen(role, field)
}

chosen(role, field) := grants.placement[field] if {
	grants.placement[field]
} else := role.placement[field]
