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

action(table, finding) := table[rule] if {
	rule := finding.rule
	table[rule]
} else := table[family] if {
	family := split(finding.rule, ".")[0]
	table[family]
} else := table[severity] if {
	severity := concat(":", ["severity", finding.severity])
	table[severity]
} else := "block"

blocked(role) if actions(role)[_] == "block"
