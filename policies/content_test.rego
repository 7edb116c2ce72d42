package broker.content_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

cases := {
	"the rule's own line comes first": {"input": inputs.found("assistant", "pii.iban", "low"), "rule": "granted", "expect": {"content": {"pii.iban": "redact"}}},
	"then its family": {"input": inputs.found("assistant", "pii.email", "critical"), "rule": "granted", "expect": {"content": {"pii.email": "allow"}}},
	"a family goes before a severity": {"input": inputs.found("clerk", "pii.email", "high"), "rule": "granted", "expect": {"content": {"pii.email": "redact"}}},
	"then its severity: low": {"input": inputs.found("clerk", "novel.rule", "low"), "rule": "granted", "expect": {"content": {"novel.rule": "allow"}}},
	"then its severity: medium": {"input": inputs.found("clerk", "novel.rule", "medium"), "rule": "granted", "expect": {"content": {"novel.rule": "redact"}}},
	"then its severity: high": {"input": inputs.found("clerk", "novel.rule", "high"), "rule": "content_blocked", "expect": {"content": {"novel.rule": "block"}}},
	"a severity without a line is blocked": {"input": inputs.found("clerk", "novel.rule", "critical"), "rule": "content_blocked"},
	"the same finding of another caller": {"input": inputs.found("assistant", "novel.rule", "low"), "rule": "content_blocked"},
	"a rule without a dot is its own family": {"input": inputs.found("assistant", "pii", "low"), "rule": "granted", "expect": {"content": {"pii": "allow"}}},
}
