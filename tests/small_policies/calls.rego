# Policies for tests that ask about no policy: who is granted may do all that is asked. They are tried and loaded
# in half the time of the project's.
package broker.calls

default decision := {"allow": false, "rule": "subject_not_granted", "reason": "No grant.", "content": {}, "changes": []}

decision := {
	"allow": true,
	"rule": "granted",
	"reason": "",
	"content": {finding.rule: "allow" | some finding in input.findings},
	"shape": {},
	"account": input.subject.id,
	"limits": {},
	"models": [],
	"response": {"cut": []},
	"credential": data.credentials[input.subject.id],
}
