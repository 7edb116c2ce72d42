package broker.objects_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

owning(owner, lent) := {"objects": {"owner": owner, "lent": lent}}

cases := {
	"a user's": {"input": inputs.call("archive", {}), "rule": "granted", "expect": owning(concat(" ", [inputs.id("archive"), "user carol"]), ["pmpt_1", "vs_1"])},
	"the subject's, where the token names no user": {"input": inputs.call("archive", {"/token/user": null}), "rule": "granted", "expect": owning(inputs.id("archive"), ["pmpt_1", "vs_1"])},
	"a team's": {"input": inputs.call("shared", {}), "rule": "granted", "expect": owning("team demo claims", [])},
	"the subject's, where it is of no team": {"input": inputs.call("teamless", {}), "rule": "granted", "expect": owning(inputs.id("teamless"), [])},
}
