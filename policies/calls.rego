# METADATA
# title: May this call go, shaped how, under which limits
# description: >-
#   Allowed as an ordinary call, or when every condition holds, or in an emergency; otherwise denied by the first
#   condition that fails, which names itself in `rule`.
# schemas:
#   - input: schema["calls.input"]
package broker.calls

import data.broker.break_glass
import data.broker.conditions
import data.broker.content
import data.broker.denial
import data.broker.grants
import data.broker.ordinary
import data.broker.terms

default decision := {
	"allow": false,
	"rule": "subject_not_granted",
	"reason": "No grant names this subject.",
	"content": {},
	"changes": [],
}

decision := ordinary.decision if {
	ordinary.decision.allow
} else := terms.kept(terms.allowed(grants.role, denial.judged, "granted", "The subject's role grants this operation and model.")) if {
	denial.named == []
	denial.others == []
	not denial.blocked
	not ordinary.forbidden
} else := json.patch(
	terms.allowed(break_glass.role, content.actions(break_glass.role), "break_glass", "The subject broke the glass."),
	[{"op": "add", "path": "/alert", "value": break_glass.alert}],
) if {
	not denial.blocked
	not ordinary.forbidden
	conditions.met(break_glass.role)
	not content.blocked(break_glass.role)
} else := terms.kept(denial.decision)
