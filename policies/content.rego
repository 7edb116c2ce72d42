# METADATA
# title: What is done about what was found in a call
# description: >-
#   The caller's role names a table. A finding's own rule decides, then its family (what stands before the first
#   dot), then its severity; what no line names is blocked.
# schemas:
#   - input: schema["calls.input"]
package broker.content

# For each rule that found something: block, redact or allow.
actions(role) := {} if {
	input.findings == []
	role.content
} else := {finding.rule: action(data.content[role.content], finding) | some finding in input.findings}

action(table, finding) := object.get(table, finding.rule, object.get(
	table,
	split(finding.rule, ".")[0],
	object.get(table, concat(":", ["severity", finding.severity]), "block"),
))

# The rules whose findings may not be sent.
blocking(role) := [rule |
	some finding in input.findings
	rule := finding.rule
	action(data.content[role.content], finding) == "block"
]

blocked(role) if {
	some finding in input.findings
	action(data.content[role.content], finding) == "block"
}
