package broker.denial_test

import data.broker.inputs_test as inputs

# What two rules of one's own would say together; each is a rule of its own in `broker.own`.
objections := {
	"too_many": {"reason": "No more than 2 answers.", "changes": [{"field": "n", "must": "at_most", "values": ["2"]}]},
	"closed": {"reason": "We are closed.", "changes": [{"field": "time", "must": "during", "values": ["Mon 08:00-09:00"]}]},
}

test_the_first_rule_of_ones_own_names_itself if {
	said := inputs.decided(inputs.call("assistant", {}), objections)
	said.rule == "closed"
	said.reason == "We are closed."
	{change.field | some change in said.changes} == {"n", "time"}
}

test_a_rule_of_the_role_comes_first if {
	said := inputs.decided(inputs.call("assistant", {"/call/model": "gpt-5"}), objections)
	said.rule == "model_not_granted"
	{change.field | some change in said.changes} == {"model", "n", "time"}
}

test_no_change_satisfies_a_rule_that_names_none if {
	said := inputs.decided(inputs.call("assistant", {}), {"closed": {"reason": "We are closed.", "changes": []}})
	said.rule == "closed"
	said.changes == []
}

test_a_broken_glass_opens_no_rule_of_ones_own if {
	said := inputs.decided(inputs.call("clerk", {"/call/model": "gpt-5", "/call/purpose": "the claims site is down"}), objections)
	said.allow == false
}

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

cases := {
	"a denial has no terms": {"input": inputs.call("batch", {}), "rule": "operation_not_granted", "expect": {"content": {}}},
	"what was found is told": {"input": inputs.call("clerk", {"/call/model": "gpt-5", "/findings": [{"rule": "pii.email", "severity": "low", "location": "messages[0].content"}]}), "rule": "model_not_granted", "expect": {"content": {"pii.email": "redact"}}},
}
